/** A layer's request in a dialect, compiled: read, compiled as ours, and what it answers in the shapes that the library has. */
import { headMeans } from '../../../../workers/ops/empty-rows/op.ts'
import { product } from '../../../formats/tensor.ts'
import type { RequestProgram } from '../../program-builder.ts'
import { readDialect } from './read.ts'
import type { Spoken } from './spoken.ts'
import { dropBatch, isWithoutBatch } from './without-batch.ts'

/** For requests whose answer has maps by layer, which stay as they are. */
export function inOurs<R extends Spoken>(p: RequestProgram, request: R): R {
  const { request: ours, conventions } = readDialect(request)
  p.facts.conventions = conventions
  return ours
}

export function compileInDialect<R extends Spoken>(
  p: RequestProgram,
  request: R,
  compile: (p: RequestProgram, request: R) => void,
): void {
  const { request: ours, dialect, conventions } = readDialect(request)
  p.facts.conventions = conventions
  compile(p, ours)
  if (isWithoutBatch(request)) dropBatch(p)
  if (dialect.weights === 'mean over heads') averageHeads(p, ours)
  // the gradient of a mask has the mask's own shape
  const ofMask = p.outputs.find(({ name }) => name === 'grads.mask')
  if (ofMask !== undefined && request.mask !== undefined) ofMask.shape = request.mask.shape
}

/** Weights [B, H, N, M] as their mean [B, N, M]. */
function averageHeads(p: RequestProgram, { q, heads }: Spoken): void {
  if (heads === undefined && (q === undefined || q.shape.length < 4)) return
  for (const output of p.outputs) {
    if (output.name !== 'weights' && output.name !== 'jvp.weights') continue
    const { buffer: x, shape } = output
    const [count, ...pairs] = shape.slice(-3)
    const before = shape.slice(0, -3)
    const args = { batch: product(before), heads: count, width: product(pairs) }
    const y = p.reals(args.batch * args.width)
    p.stage(p.step(headMeans, { x, y }, args))
    p.buffers[x].keep = false
    p.keep(y)
    Object.assign(output, { buffer: y, shape: [...before, ...pairs], guide: undefined })
  }
}
