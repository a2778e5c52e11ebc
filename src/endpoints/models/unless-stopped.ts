/** What is awaited, unless the signal fires first: rejects with its reason then. What is awaited goes on, and nobody hears of it. */
export async function unlessStopped<T>(awaited: Promise<T>, signal: AbortSignal): Promise<T> {
  const stopped = Promise.withResolvers<never>()
  const stop = () => stopped.reject(signal.reason)
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([stopped.promise, awaited])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
