/** What is said about the entries of functions: files, folders and how often they change. */
import type { Entry } from './hook.ts'

/** How far functions that run one after the other lie apart. */
interface Thread {
  entries: number
  fileChanges: number
  /** consecutive entries in another folder, see `folderOf` */
  folderChanges: number
  /** the same with every directory as a folder of its own */
  directoryChanges: number
  /** consecutive entries in one folder */
  runs: Share[]
  /** in the order of their first entry */
  files: Share[]
}

interface Share {
  name: string
  entries: number
}

export interface Trace {
  request: string
  status: number
  /** on the main thread and in the workers; a file of both counts once */
  files: number
  /** on the main thread */
  folderChanges: number
  main: Thread
  workers: Thread
  /** in their order: thread, file and line */
  sequence: string[]
}

/** The first two levels of a file's directory: src/layers/attention/masks/x.ts → src/layers, src/app.ts → src. */
function folderOf(file: string): string {
  return directoryOf(file).split('/').slice(0, 2).join('/')
}

function directoryOf(file: string): string {
  return file.slice(0, file.lastIndexOf('/'))
}

export function summary(request: string, status: number, entries: Entry[]): Trace {
  const main = threadOf(entries.filter(({ thread }) => thread === 0))
  return {
    request,
    status,
    files: new Set(entries.map(({ file }) => file)).size,
    folderChanges: main.folderChanges,
    main,
    workers: threadOf(entries.filter(({ thread }) => thread !== 0)),
    sequence: entries.map(({ thread, file, line }) => `${thread} ${file}:${line}`),
  }
}

function threadOf(entries: Entry[]): Thread {
  const names = entries.map(({ file }) => file)
  const runs = runsOf(names.map(folderOf))
  const files = new Map<string, number>()
  for (const name of names) files.set(name, (files.get(name) ?? 0) + 1)
  return {
    entries: entries.length,
    fileChanges: changes(runsOf(names)),
    folderChanges: changes(runs),
    directoryChanges: changes(runsOf(names.map(directoryOf))),
    runs,
    files: [...files].map(([name, count]) => ({ name, entries: count })),
  }
}

function runsOf(names: string[]): Share[] {
  const runs: Share[] = []
  for (const name of names) {
    const last = runs.at(-1)
    if (last?.name === name) last.entries++
    else runs.push({ name, entries: 1 })
  }
  return runs
}

function changes(runs: Share[]): number {
  return Math.max(0, runs.length - 1)
}

export function page(trace: Trace): string {
  const { main, workers } = trace
  return [
    `${trace.request} → ${trace.status}`,
    '',
    'Folders on the main thread, with the entries in a row',
    ...wrapped(main.runs.map(({ name, entries }) => `${name} ×${entries}`)),
    '',
    ...table('main thread', main),
    '',
    ...table('worker', workers),
    '',
    `total: ${trace.files} files, ${trace.folderChanges} folder changes on the main thread`,
  ].join('\n')
}

function table(title: string, thread: Thread): string[] {
  const { files, entries, fileChanges, folderChanges, directoryChanges } = thread
  return [
    `Files on the ${title} in the order of their first entry: ${files.length} files, ${entries} entries,`,
    `${fileChanges} file changes, ${folderChanges} folder changes (${directoryChanges} with every directory as a folder)`,
    ...files.map(file => `${String(file.entries).padStart(6)}  ${file.name}`),
  ]
}

const WIDTH = 110

function wrapped(parts: string[]): string[] {
  const lines = ['']
  for (const part of parts) {
    const last = lines[lines.length - 1]
    if (last.length + part.length + 5 > WIDTH) lines.push(`  ${part}`)
    else lines[lines.length - 1] = last === '' ? `  ${part}` : `${last} → ${part}`
  }
  return lines
}
