#!/usr/bin/env node
/** `attention-server COMMAND …`: finds the command, and turns how it ends into an exit code. */
import { type Command, UsageError } from './command.ts'
import * as list from './list.ts'

const commands: Command[] = Object.values(list)

function usage(): string {
  const lines = commands.map(({ name, usage, summary }) => `  ${`${name} ${usage}`.trim()}\n      ${summary}`)
  return ['usage: attention-server COMMAND', '', ...lines, ''].join('\n')
}

async function run([name, ...args]: string[]): Promise<number | undefined> {
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(usage())
    return 0
  }
  const command = commands.find(candidate => candidate.name === name)
  if (!command) {
    process.stderr.write(
      `${name === undefined ? 'no command given' : `no command is called ${name}`}\n${usage()}`,
    )
    return 2
  }
  try {
    return await command.run(args)
  } catch (error) {
    const told = error instanceof UsageError
    const text = error instanceof Error ? error.message : String(error)
    const after = told ? `usage: attention-server ${`${command.name} ${command.usage}`.trim()}\n` : ''
    process.stderr.write(`${text}\n${after}`)
    return 2
  }
}

const code = await run(process.argv.slice(2))
if (code !== undefined) process.exitCode = code
