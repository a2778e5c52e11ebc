/**
 * The levels of the house (docs/ARCHITECTURE.md): a room imports lower levels only, and of its own level only what its line
 * names. Imports of types count. Neither files nor rooms nor folders side by side form circles. Tests and the cases of ops are
 * held to none of this.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

interface Room {
  level: number
  /** its folders, with what is below them, and files */
  holds: string[]
  /** rooms of its own level that it may import */
  beside?: string[]
}

/** Every room. What several lines could hold belongs to the one that names it at the greatest length. */
const ROOMS: Record<string, Room> = {
  agreed: {
    level: 0,
    holds: [
      'workers/step-types.ts',
      'workers/layout.ts',
      'workers/claim-table.ts',
      'workers/give-way.ts',
      'workers/older-node.ts',
    ],
  },
  text: { level: 0, holds: ['workers/text'], beside: ['agreed'] },
  ops: {
    level: 0,
    holds: ['workers/ops', 'workers/text/decode.ts', 'workers/text/encode.ts'],
    beside: ['agreed', 'text'],
  },
  contract: {
    level: 0,
    holds: ['workers/contract.ts'],
    beside: ['agreed', 'ops'],
  },
  wasm: {
    level: 0,
    holds: ['workers/wasm', 'workers/self-check.ts', 'workers/choose-variant.ts'],
    beside: ['agreed', 'ops'],
  },
  worker: {
    level: 0,
    holds: ['workers/main.ts', 'workers/task-runner.ts', 'workers/run-segment.ts', 'workers/ops/table.ts'],
    beside: ['agreed', 'text', 'ops', 'contract', 'wasm'],
  },
  problem: { level: 0, holds: ['src/problem.ts'] },
  config: { level: 0, holds: ['src/config.ts', 'src/processors.ts', 'src/revectorize.ts'] },
  program: { level: 0, holds: ['src/program.ts'], beside: ['contract'] },
  formats: { level: 1, holds: ['src/formats'] },
  engine: { level: 1, holds: ['src/engine'] },
  layers: { level: 1, holds: ['src/layers'], beside: ['formats'] },
  models: { level: 1, holds: ['src/models'], beside: ['formats', 'engine', 'layers'] },
  endpoints: { level: 2, holds: ['src/endpoints'] },
  pipeline: { level: 3, holds: ['src/pipeline'] },
  jobs: { level: 4, holds: ['src/jobs'] },
  http: { level: 4, holds: ['src/http'], beside: ['jobs'] },
  client: { level: 0, holds: ['src/client'] },
  app: { level: 5, holds: ['src/app.ts', 'src/compile-cache.ts', 'src/main.ts', 'src/process.ts'] },
  cli: { level: 6, holds: ['src/cli'] },
  package: { level: 6, holds: ['src/package'] },
}

/** What the service may know of the compute side: what says what an op is, and what is agreed; never a kernel. */
const OPEN_TO_SRC =
  /^workers\/(contract|layout|claim-table|main|choose-variant|task-runner|give-way|older-node)\.ts$|^workers\/text\/[^/]+\.ts$|^workers\/ops\/([^/]+\/op|define-op)\.ts$/

const MOST_LINES = 300

/** Words that only the authors could know, alone or at the end of a name, and words that say nothing. */
const PRIVATE_WORDS = [
  /\b(seats?|bells?|crews?|errands?|legs?|boards?|so many|so often|whoever)\b/gi,
  /(?<=[a-z])(Seat|Bell|Crew|Errand|Leg|Board)s?(?![a-z])/g,
]

/** A ticket opens a stream; the scheduler and the workers have none. */
const TICKET = /\btickets?\b|(?<=[a-z])Tickets?(?![a-z])/
const WITHOUT_TICKETS = /^(src\/(engine|layers|endpoints\/(?!answers)|pipeline)|workers)\//

/** Members put together only to stand in one line. */
const LAYOUT_NOISE = /\.\.\.\{ |\.\.\.\(\[[^\]]*\] as const\)/

const SOURCE = /\.(ts|css|html|py|sh)$/
const TEXT = /\.md$/
/** A test, or what only tests load. */
const TEST = /\.test\.ts$|cases\.ts$/
/** What asc compiles, what is built, and what belongs to others. */
const ASSEMBLY = /\/(simd|assembly)\//
const BUILT = /(^|\/)(generated|build|dist|part-[^/]*|node_modules)\/|\.d\.ts$/

function filesBelow(folder: string, kind = SOURCE): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map(name => join(folder, name).replaceAll('\\', '/'))
    .filter(name => kind.test(name) && !BUILT.test(name))
    .sort()
}

function textOf(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}

/** Every file of source in the repository but the tests. */
const SOURCES = ['src', 'workers', 'web', 'scripts', 'bench', 'examples']
  .flatMap(folder => filesBelow(folder))
  .filter(file => !TEST.test(file))

const TEXTS = [
  ...['src', 'workers', 'docs', 'bench'].flatMap(folder => filesBelow(folder, TEXT)),
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'RELEASING.md',
  'CHANGELOG.md',
]

/** Those that are held to the levels: TypeScript of both sides. */
const FILES = SOURCES.filter(file => /^(src|workers)\//.test(file) && !ASSEMBLY.test(file))

function roomOf(file: string): string {
  const held = Object.entries(ROOMS).flatMap(([room, { holds }]) => holds.map(place => ({ room, place })))
  const fitting = held.filter(({ place }) => file === place || file.startsWith(`${place}/`))
  return fitting.sort((a, b) => b.place.length - a.place.length)[0]?.room ?? `no room: ${file}`
}

/** Files of ours that a file imports. */
function importsOf(file: string): string[] {
  const found = textOf(file).matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)'(\.[^']+)'/g)
  return [...found].map(([, target]) => normalize(join(dirname(file), target)).replaceAll('\\', '/'))
}

const IMPORTS = new Map(FILES.map(file => [file, importsOf(file)]))

/** A circle of arrows, as a list of names; undefined where there is none. */
function circleOf(arrows: Map<string, Iterable<string>>): string[] | undefined {
  const done = new Set<string>()
  const way: string[] = []
  const visit = (name: string): string[] | undefined => {
    if (way.includes(name)) return [...way.slice(way.indexOf(name)), name]
    if (done.has(name)) return undefined
    way.push(name)
    for (const next of arrows.get(name) ?? []) {
      const circle = visit(next)
      if (circle !== undefined) return circle
    }
    way.pop()
    done.add(name)
    return undefined
  }
  for (const name of arrows.keys()) {
    const circle = visit(name)
    if (circle !== undefined) return circle
  }
  return undefined
}

/** Where a path and another part: the folders side by side that they stand in, if both stand in one. */
function foldersApart(file: string, other: string): [string, string] | undefined {
  const [a, b] = [dirname(file).split('/'), dirname(other).split('/')]
  const at = a.findIndex((name, depth) => name !== b[depth])
  if (at < 0 || b[at] === undefined) return undefined
  return [a.slice(0, at + 1).join('/'), b.slice(0, at + 1).join('/')]
}

function arrowsBetween(pairs: Iterable<readonly [string, string]>): Map<string, Set<string>> {
  const arrows = new Map<string, Set<string>>()
  for (const [from, to] of pairs) {
    if (from === to) continue
    arrows.set(from, (arrows.get(from) ?? new Set()).add(to))
  }
  return arrows
}

/** Every import, as a pair of files. */
const PAIRS = [...IMPORTS].flatMap(([file, targets]) => targets.map(target => [file, target] as const))

describe('the house', () => {
  it('has a room for every file, and a file for every place that a room holds', () => {
    expect(FILES.filter(file => ROOMS[roomOf(file)] === undefined)).toEqual([])
    const places = Object.values(ROOMS).flatMap(({ holds }) => holds)
    expect(places.filter(place => !existsSync(join(ROOT, place)))).toEqual([])
  })

  it('imports lower levels only, and of its own level only what its line names', () => {
    const wrong = PAIRS.filter(([file, target]) => {
      const [from, to] = [roomOf(file), roomOf(target)]
      if (from === to) return false
      const lower = ROOMS[to] !== undefined && ROOMS[to].level < ROOMS[from].level
      return !lower && !ROOMS[from].beside?.includes(to)
    })
    expect(wrong.map(([file, target]) => `${file} imports ${target}`)).toEqual([])
  })

  it('lets the service know the contract of the compute side, not its kernels', () => {
    const wrong = PAIRS.filter(
      ([file, target]) =>
        file.startsWith('src/') && target.startsWith('workers/') && !OPEN_TO_SRC.test(target),
    )
    expect(wrong.map(([file, target]) => `${file} imports ${target}`)).toEqual([])
  })

  it('lets no op know another family than its own, or the one that it computes in another way', () => {
    const madeOf: Record<string, string> = { 'packed-attention': 'attention', 'plain-attention': 'attention' }
    const familyOf = (file: string) => /^workers\/ops\/([^/]+)\//.exec(file)?.[1]
    const wrong = PAIRS.filter(([file, target]) => {
      const [from, to] = [familyOf(file), familyOf(target)]
      return from !== undefined && to !== undefined && from !== to && madeOf[from] !== to
    })
    expect(wrong.map(([file, target]) => `${file} imports ${target}`)).toEqual([])
  })

  it('has no circle of files', () => {
    expect(circleOf(IMPORTS)).toBeUndefined()
  })

  it('has no circle of rooms', () => {
    expect(
      circleOf(arrowsBetween(PAIRS.map(pair => [roomOf(pair[0]), roomOf(pair[1])] as const))),
    ).toBeUndefined()
  })

  it('has no circle of folders side by side in the service', () => {
    const within = PAIRS.filter(pair => pair.every(file => file.startsWith('src/')))
    const apart = within
      .map(([file, target]) => foldersApart(file, target))
      .filter(pair => pair !== undefined)
    expect(circleOf(arrowsBetween(apart))).toBeUndefined()
  })

  it(`has no file of more than ${MOST_LINES} lines`, () => {
    expect(SOURCES.filter(file => textOf(file).split('\n').length > MOST_LINES + 1)).toEqual([])
  })

  it('uses the field’s own words', () => {
    const wrong = [...SOURCES, ...TEXTS].flatMap(file =>
      PRIVATE_WORDS.flatMap(words => [...textOf(file).matchAll(words)]).map(([word]) => `${file}: ${word}`),
    )
    const tickets = SOURCES.filter(file => WITHOUT_TICKETS.test(file) && TICKET.test(textOf(file)))
    expect([...wrong, ...tickets]).toEqual([])
  })

  it('puts nothing together only to fill a line', () => {
    expect(SOURCES.filter(file => LAYOUT_NOISE.test(textOf(file)))).toEqual([])
  })

  it('finds a circle where there is one', () => {
    expect(
      circleOf(
        new Map([
          ['a', ['b']],
          ['b', ['c']],
          ['c', ['b']],
        ]),
      ),
    ).toEqual(['b', 'c', 'b'])
    expect(
      circleOf(
        new Map([
          ['a', ['b', 'c']],
          ['b', ['c']],
          ['c', []],
        ]),
      ),
    ).toBeUndefined()
  })
})
