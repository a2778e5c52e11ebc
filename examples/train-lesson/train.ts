/**
 * Trains the lesson model through a running service: `node train.ts [server] [--steps N] [--until N] [--from FOLDER] [--rate R]
 * [--dropped P] [--out FOLDER] [--curve FILE.svg]`. `--from` goes on from a folder's weights; `--dropped` is the probability that a head
 * has no say in a batch. The service computes the stack and its gradients; with KERNELS=simd128 its kernels are the same ones everywhere.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Client } from '../../src/client/index.ts'
import { batchOf, type Marked, tokensOf } from './batches.ts'
import { readCheckpoint, writeCheckpoint } from './checkpoint.ts'
import { readCorpus } from './corpus.ts'
import { type Entry, entriesOf, pictureOf, Sums, tableOf } from './curve.ts'
import { Random } from './draw.ts'
import { Adam } from './maths.ts'
import { factorsOf, Network } from './network.ts'
import { Tokenizer } from './vocabulary.ts'

const DECAY = 0.1
const BATCH = 64
const SEED = 15
/** Steps that an entry of the curve is the mean of. */
const TOLD = 50
const WRITTEN = 500

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: 'string', default: '2000' },
    out: { type: 'string', default: 'models/lesson' },
    curve: { type: 'string' },
    from: { type: 'string' },
    until: { type: 'string' },
    dropped: { type: 'string', default: '0' },
    rate: { type: 'string', default: '1.5e-3' },
  },
})
const steps = Number(values.steps)
const until = Number(values.until ?? steps)
const tokenizer = new Tokenizer()
const sentences = tokensOf(readCorpus('train'), tokenizer)
const random = new Random(SEED)
// numbers hardly compress
const headers = { 'accept-encoding': 'identity' }
const client = new Client(positionals[0] ?? 'http://127.0.0.1:8080', { headers })
const network = await Network.create(client, random, tokenizer.vocabulary.length, SEED)
if (values.from !== undefined) readCheckpoint(values.from, network.parameters)
const adam = new Adam(DECAY)
const table = values.curve?.replace(/\.svg$/, '.csv')
const entries: Entry[] = values.from && table ? entriesOf(readFileSync(table, 'utf8')) : []
const before = entries.at(-1)?.step ?? 0

let waiting: Marked[] = []
let sums = new Sums()
for (let step = 1; step <= until; step++) {
  if (waiting.length < BATCH) waiting = [...waiting, ...shuffled(sentences)]
  const batch = batchOf(waiting.splice(0, BATCH), random)
  const { losses, right, gradients } = await network.gradients(
    batch,
    factorsOf(random, Number(values.dropped)),
  )
  adam.update(network.parameters, gradients, rateOf(step))
  sums.add(batch.targets, losses, right)
  if (step % TOLD > 0) continue
  const [noun, word] = [sums.mean('noun'), sums.mean('word')]
  entries.push({ step: before + step, noun, word })
  sums = new Sums()
  if (step % WRITTEN === 0) writeCheckpoint(values.out, network, tokenizer)
  console.log(`step ${step}  noun ${told(noun)}  word ${told(word)}`)
}
writeCheckpoint(values.out, network, tokenizer)
if (values.curve && table) {
  writeFileSync(values.curve, pictureOf(entries))
  writeFileSync(table, tableOf(entries))
}

/** Rises at first, then falls along half a cosine. */
function rateOf(step: number): number {
  return (
    Number(values.rate) *
    Math.min(step / Math.min(200, steps / 10), 0.01 + 0.5 * (1 + Math.cos((Math.PI * step) / steps)))
  )
}

function told({ loss, right }: Entry['noun']): string {
  return `${loss.toFixed(4)} (${(100 * right).toFixed(1)} % right)`
}

function shuffled<T>(list: T[]): T[] {
  const copy = [...list]
  for (let at = copy.length - 1; at > 0; at--) {
    const other = random.below(at + 1)
    ;[copy[at], copy[other]] = [copy[other], copy[at]]
  }
  return copy
}
