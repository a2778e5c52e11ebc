/** A problem as the server answers it (RFC 9457), and as the reader is told of it. */
export interface Problem {
  status?: number
  detail?: string
  errors?: { path: string; message: string }[]
}

/** What was wrong and where; in the server's words. */
export function detailOf(problem: Problem | undefined): string {
  const places = problem?.errors?.map(({ path, message }) => `${path}: ${message}`) ?? []
  return places.join('\n') || problem?.detail || ''
}

/** Whether the same request may succeed later: the server is busy, is leaving, or has failed. */
export function mayPass({ status = 0 }: Problem): boolean {
  return status === 429 || status >= 500
}

/** Whether it is the reader's key that is missing or wrong. */
export function wantsKey({ status }: Problem): boolean {
  return status === 401
}
