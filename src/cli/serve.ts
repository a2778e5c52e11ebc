/** `attention-server serve`: the service, with its settings from the environment. */
import { keepCompiled } from '../compile-cache.ts'
import { type Command, UsageError } from './command.ts'

export const serve: Command = {
  name: 'serve',
  usage: '',
  summary: 'start the service; its settings come from the environment',
  async run(args) {
    if (args.length > 0) throw new UsageError(`serve takes no arguments, got ${args.join(' ')}`)
    keepCompiled()
    await import('../process.ts')
    return undefined
  },
}
