/** `attention-server models`: puts checkpoints into MODELS_DIR, lists them, takes them out. A running server sees the change by itself. */
import { createWriteStream } from 'node:fs'
import { mkdir, readdir, realpath, rename, rm, stat, symlink } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { BUILT_IN, findModels } from '../models/folders.ts'
import { planModel } from '../models/plan.ts'
import { type Command, type ExitCode, UsageError } from './command.ts'
import { table } from './table.ts'

export const models: Command = {
  name: 'models',
  usage: 'add ORG/NAME|FOLDER [NAME] | list | remove NAME',
  summary:
    'the models of MODELS_DIR: add fetches one from Hugging Face (HF_ENDPOINT, HF_TOKEN) or links a folder; list names those of the service too',
  async run([action, ...args]) {
    const folder = process.env.MODELS_DIR
    const most = { add: 2, list: 0, remove: 1 }[action]
    if (most === undefined) throw new UsageError(`expected add, list or remove, got ${action ?? 'nothing'}`)
    if (args.length > most || (action !== 'list' && args.length === 0)) {
      throw new UsageError(
        `expected ${action} with ${usageOf[action as keyof typeof usageOf]}, got ${args.join(' ') || 'nothing'}`,
      )
    }
    if (action === 'list') return list(folder ? [folder, BUILT_IN] : [BUILT_IN])
    if (!folder) throw new UsageError('expected MODELS_DIR in the environment, got nothing')
    return action === 'add' ? add(folder, args[0], args[1]) : remove(folder, args[0])
  },
}

const usageOf = { add: 'ORG/NAME or a FOLDER, and a NAME', list: 'nothing', remove: 'a NAME' }

/** What a server may be asked for by: a folder's own name. */
function checkName(name: string): string {
  if (/^[\w][\w.-]*$/.test(name)) return name
  throw new UsageError(`expected a name of letters, digits, dots, dashes and underscores, got ${name}`)
}

async function add(folder: string, source: string, given: string | undefined): Promise<ExitCode> {
  await mkdir(folder, { recursive: true })
  const local = await stat(source).then(
    found => found.isDirectory(),
    () => false,
  )
  const name = checkName(given ?? basename(resolve(source)))
  const path = join(folder, name)
  if (await exists(path)) throw new Error(`${name} is in ${folder} already`)
  if (local) {
    const target = await realpath(source)
    const { spec } = await planModel(name, target)
    await symlink(target, path, 'dir')
    process.stdout.write(`${name}: ${spec.family}, linked to ${target}\n`)
    return 0
  }
  if (!/^[\w.-]+\/[\w.-]+$/.test(source)) throw new Error(`expected a folder or ORG/NAME, got ${source}`)
  // names that begin with a dot are no models
  const partial = join(folder, `.${name}.partial`)
  await rm(partial, { recursive: true, force: true })
  await mkdir(partial)
  try {
    await fetchFiles(source, partial)
    const { spec } = await planModel(name, partial)
    await rename(partial, path)
    process.stdout.write(`${name}: ${spec.family}, fetched from ${source}\n`)
  } catch (error) {
    await rm(partial, { recursive: true, force: true })
    throw error
  }
  return 0
}

/** Of a repository those files that a model is read from. */
const WANTED =
  /^(config\.json|generation_config\.json|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|model\.safetensors(\.index\.json)?|model-\d+-of-\d+\.safetensors)$/

async function fetchFiles(repo: string, folder: string): Promise<void> {
  const { downloadFile, listFiles } = await import('@huggingface/hub')
  const { HF_ENDPOINT: hubUrl, HF_TOKEN: accessToken } = process.env
  const from = { repo, ...(hubUrl && { hubUrl }), ...(accessToken && { accessToken }) }
  const paths: string[] = []
  for await (const { path, type } of listFiles(from))
    if (type === 'file' && WANTED.test(path)) paths.push(path)
  if (!paths.includes('config.json')) throw new Error(`${repo} has no config.json`)
  for (const path of paths.sort()) {
    const blob = await downloadFile({ ...from, path })
    if (blob === null) throw new Error(`${repo}: ${path} cannot be fetched`)
    process.stderr.write(`${path}, ${blob.size} bytes\n`)
    await pipeline(Readable.fromWeb(blob.stream() as never), createWriteStream(join(folder, path)))
  }
}

async function list(folders: string[]): Promise<ExitCode> {
  const rows = [['name', 'family', 'parameters', 'bytes']]
  let code: ExitCode = 0
  for (const [name, path] of await findModels(folders)) {
    try {
      const { spec, parameters, bytes } = await planModel(name, path)
      rows.push([name, spec.family, String(parameters), String(bytes)])
    } catch (error) {
      rows.push([name, (error as Error).message, '', ''])
      code = 1
    }
  }
  process.stdout.write(`${table(rows).join('\n')}\n`)
  return code
}

async function remove(folder: string, name: string): Promise<ExitCode> {
  const names = await readdir(folder)
  if (!names.includes(name)) throw new Error(`no model ${name} in ${folder}`)
  await rm(join(folder, name), { recursive: true })
  process.stdout.write(`${name} removed\n`)
  return 0
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
