/**
 * Threads have the flags that Node was started with. `--input-type`, which a script given on the command line has, would keep them
 * from loading their files: then they have none.
 */
export const THREAD_OPTIONS: { execArgv?: string[] } = process.execArgv.some(flag =>
  flag.startsWith('--input-type'),
)
  ? { execArgv: [] }
  : {}
