/** `attention-server keys`: adds, lists and removes the keys of a file. A running server takes the change over by itself. */
import { parseArgs } from 'node:util'
import { KeyRecord, newKey } from '../http/auth/key.ts'
import { changeKeys, readKeys } from '../http/auth/keys-file.ts'
import { type Command, type ExitCode, UsageError } from './command.ts'

const OPTIONS = {
  file: { type: 'string' },
  'requests-per-minute': { type: 'string' },
  'flops-per-minute': { type: 'string' },
  expires: { type: 'string' },
} as const

type Options = Partial<Record<keyof typeof OPTIONS, string>>

export const keys: Command = {
  name: 'keys',
  usage:
    'add NAME [--file F] [--requests-per-minute N] [--flops-per-minute N] [--expires DATE] | list [--file F] | remove NAME [--file F]',
  summary: 'the keys of AUTH=keys, in F or in KEYS_FILE; add prints the new key, once',
  async run(args) {
    const { action, name, options } = read(args)
    const file = options.file || process.env.KEYS_FILE
    if (!file) throw new UsageError('expected --file or KEYS_FILE, got neither')
    if (action === 'list') return list(file, name)
    if (name === undefined) throw new UsageError(`expected the NAME of a key behind ${action}, got none`)
    return action === 'add' ? add(file, name, options) : remove(file, name)
  },
}

function read(args: string[]) {
  const { positionals, values } = parsed(args)
  const [action, name, ...more] = positionals
  if (action !== 'add' && action !== 'list' && action !== 'remove')
    throw new UsageError(`expected add, list or remove, got ${action ?? 'nothing'}`)
  if (more.length > 0) throw new UsageError(`expected one NAME, got ${[name, ...more].join(' ')}`)
  const beside = action === 'add' ? undefined : Object.keys(values).find(option => option !== 'file')
  if (beside !== undefined) throw new UsageError(`expected no --${beside} with ${action}`)
  return { action, name, options: values as Options } as const
}

function parsed(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS, allowPositionals: true })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

async function add(file: string, name: string, options: Options): Promise<ExitCode> {
  const limits = {
    requests_per_minute: numberOf(options, 'requests-per-minute'),
    flops_per_minute: numberOf(options, 'flops-per-minute'),
    expires: momentOf(options.expires),
  }
  const { key, record } = newKey({ name, ...limits })
  const found = KeyRecord.safeParse(record)
  if (!found.success) {
    const [{ path, message }] = found.error.issues
    throw new UsageError(
      `${path[0] === 'name' ? 'NAME' : `--${String(path[0]).replaceAll('_', '-')}`}: ${message}`,
    )
  }
  await changeKeys(file, all => {
    if (all.some(each => each.name === name))
      throw new Error(`${file} has a key called ${name} already; \`keys remove ${name}\` takes it away`)
    return [...all, record]
  })
  process.stdout.write(`${key}\n`)
  if (record.expires !== undefined && Date.parse(record.expires) < Date.now())
    process.stderr.write(`${record.expires} has passed: this key is not valid\n`)
  process.stderr.write(`${file} holds only its hash: keep the key, it is not shown again\n`)
  return 0
}

function numberOf(options: Options, name: 'requests-per-minute' | 'flops-per-minute'): number | undefined {
  const text = options[name]
  if (text === undefined) return undefined
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value))
    throw new UsageError(`--${name}: expected a number, got ${text}`)
  return value
}

/** A date alone is the beginning of that day, in UTC. */
function momentOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const moment = new Date(text)
  if (!/^\d{4}-\d{2}-\d{2}/.test(text) || Number.isNaN(moment.getTime()))
    throw new UsageError(`--expires: expected a date as 2027-12-31 or 2027-12-31T18:00:00Z, got ${text}`)
  return moment.toISOString()
}

async function list(file: string, name: string | undefined): Promise<ExitCode> {
  if (name !== undefined) throw new UsageError(`expected nothing behind list, got ${name}`)
  const rows = (await readKeys(file)).map(each => [
    each.name,
    each.id,
    each.created,
    each.expires ?? 'never',
    String(each.requests_per_minute ?? 'any'),
    String(each.flops_per_minute ?? 'any'),
  ])
  const table = [['NAME', 'ID', 'CREATED', 'EXPIRES', 'REQUESTS/MIN', 'FLOPS/MIN'], ...rows]
  const widths = table[0].map((_, column) => Math.max(...table.map(row => row[column].length)))
  for (const row of table)
    process.stdout.write(
      `${row
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('  ')
        .trimEnd()}\n`,
    )
  return 0
}

async function remove(file: string, name: string): Promise<ExitCode> {
  await readKeys(file)
  await changeKeys(file, all => {
    const left = all.filter(each => each.name !== name)
    if (left.length === all.length) throw new Error(`${file} has no key called ${name}`)
    return left
  })
  process.stderr.write(`${name} is no key any more\n`)
  return 0
}
