/** What a command of `attention-server` is. */

/** How a command ended: 0 as wished, 1 with a verdict against what it was given, 2 where it could not be done as asked. */
export type ExitCode = 0 | 1 | 2

export interface Command {
  name: string
  /** its arguments, as the usage shows them */
  usage: string
  summary: string
  /** `args` are those after the command's name; nothing comes back from one that goes on until a signal ends it. */
  run(args: string[]): Promise<ExitCode | undefined>
}

/** Arguments that cannot be read: told on one line, with the command's usage, and exit code 2. */
export class UsageError extends Error {}
