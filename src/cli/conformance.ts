/** `attention-server conformance`: ONNX's own cases of attention, where their data is there (in the repository). */
import { existsSync } from 'node:fs'
import { type Command, UsageError } from './command.ts'

type Conformance = (print: (text: string) => void) => Promise<boolean>

const SUITE = new URL('../../test/conformance/scoreboard.ts', import.meta.url)

export const conformance: Command = {
  name: 'conformance',
  usage: '',
  summary: 'run the cases of ONNX’s suite; they are in the repository, not in the package',
  async run(args) {
    if (args.length > 0) throw new UsageError(`conformance takes no arguments, got ${args.join(' ')}`)
    if (!existsSync(SUITE))
      throw new Error(`the cases of ONNX’s suite are not in the package: clone the repository for them`)
    const suite = (await import(SUITE.href)) as { conformance: Conformance }
    return (await suite.conformance(text => process.stdout.write(`${text}\n`))) ? 0 : 1
  },
}
