/** A run of `GET /v1/stream` → a program with a mark behind every layer of every pass, and what is to be sent there. */
import { takeHeads } from '../../workers/ops/maps/op.ts'
import type { Ref } from '../../workers/task.ts'
import { exactError } from '../layers/attention/exact-error.ts'
import type { MapName } from '../layers/attention/softmax.ts'
import { weightGradient } from '../layers/attention/weight-gradient.ts'
import type { BlockState } from '../layers/block.ts'
import { inRank } from '../layers/geometry.ts'
import { answerGradients, GradientSet, maskGradient } from '../layers/gradients.ts'
import { type OutputTensor, RequestProgram } from '../layers/program-builder.ts'
import { sequenceShape } from '../layers/sequence.ts'
import { stackBackward, stackForward } from '../layers/stack.ts'
import { compileStack, stackLoss } from '../layers/stack-request.ts'
import { thumbnails } from '../layers/thumbnails.ts'
import { fieldProblem } from '../problem.ts'
import type { StartMessage } from './stream-messages.ts'

export type Pass = 'forward' | 'backward'

/** What a layer of a pass has to send when its mark is reached; nothing if nobody asked. */
export interface LayerFrame {
  pass: Pass
  index: number
  outputs: OutputTensor[]
}

/** A full map that stays for `fetch`: [batch, heads, queries, keys] of the chosen heads. */
export interface KeptMap {
  pass: Pass
  layer: number
  tensor: string
  buffer: Ref
}

export interface StreamProgram {
  program: RequestProgram
  /** one for each mark of the program, in order */
  frames: LayerFrame[]
  kept: KeptMap[]
  /** what a fetched map is cut from */
  maps: { batched: boolean; batch: number; heads: number[]; queries: number; keys: number }
}

/** `write` emits what writing a frame takes, and says which buffers are then read. */
export function compileStream(
  request: StartMessage,
  write: (program: RequestProgram, frame: LayerFrame) => Ref[],
): StreamProgram {
  const p = new RequestProgram(request.precision, request.non_finite)
  const compiled = compileStack(p, request)
  const { x, input, plan, shape, params, taken, differentiable } = compiled
  const { geometry } = plan
  refuseEmits(plan.kind, request.emit)
  const emits = new Set<string>(request.emit)
  const layers = new Set(request.layers ?? Array.from({ length: shape.layers }, (_, layer) => layer))
  const heads = request.heads ?? Array.from({ length: geometry.heads }, (_, head) => head)
  const inHeads = { ...geometry, heads: heads.length }
  const frames: LayerFrame[] = []
  const kept: KeptMap[] = []
  const outputShape = sequenceShape(x, x.positions, x.dim)

  const reach = (frame: LayerFrame) => {
    p.mark(write(p, frame))
    frames.push(frame)
  }
  const choose = (buffer: Ref, width: number) => {
    if (request.heads === undefined) return buffer
    const { type } = p.buffers[buffer]
    const y = p.buffer({ type, length: geometry.batch * heads.length * width })
    const args = { batch: geometry.batch, heads: geometry.heads, chosen: heads, width }
    p.stage(p.step(takeHeads, { x: buffer, y }, args))
    return y
  }
  const rows = (name: string, buffer: Ref): OutputTensor => ({
    name: `tensors.${name}`,
    buffer: choose(buffer, geometry.queries),
    shape: inRank(inHeads, geometry.queries),
  })
  const map = (pass: Pass, layer: number, tensor: string, full: Ref): OutputTensor[] => {
    const { queries, keys, batch } = geometry
    const buffer = choose(full, queries * keys)
    if (request.detail === undefined) {
      return [{ name: `tensors.${tensor}`, buffer, shape: inRank(inHeads, queries, keys) }]
    }
    p.keep(buffer)
    kept.push({ pass, layer, tensor, buffer })
    const maps = {
      buffer,
      maps: batch * heads.length,
      rows: queries,
      columns: keys,
      signed: tensor !== 'weights',
    }
    const small = thumbnails(p, maps, request.detail)
    return [
      {
        name: `tensors.${tensor}`,
        buffer: small.bytes,
        shape: inRank(inHeads, small.rows, small.columns),
        dtype: 'uint8',
      },
      { name: `scales.${tensor}`, buffer: small.scale, shape: inRank(inHeads) },
    ]
  }

  const mapNames = (['weights', 'scores'] satisfies MapName[]).filter(name => emits.has(name))
  const forward = (layer: number, { attention, output }: BlockState): OutputTensor[] => {
    if (plan.exact !== undefined) exactError(p, attention.attention, plan.exact, `layers.${layer}.`)
    if (!layers.has(layer)) return []
    const state = attention.attention.attended
    return [
      ...(emits.has('output') ? [{ name: 'tensors.output', buffer: output, shape: outputShape }] : []),
      ...mapNames.flatMap(name => map('forward', layer, name, state.written[name] as Ref)),
      ...(emits.has('entropy') ? [rows('entropy', state.entropy as Ref)] : []),
      ...(emits.has('logsumexp') ? [rows('logsumexp', state.logsumexp)] : []),
    ]
  }
  const entropyWeight = request.backward?.entropy_weight ?? 0
  const requested = {
    entropy: emits.has('entropy') || entropyWeight !== 0,
    maps: (layer: number) => (layers.has(layer) ? mapNames : []),
  }
  const state = stackForward(p, plan, shape, input, params, requested, {
    forward: (layer, block) => reach({ pass: 'forward', index: layer, outputs: forward(layer, block) }),
  })
  p.output('output', state.output, outputShape)
  const result = { program: p, frames, kept, maps: { ...geometry, heads } }
  if (request.backward === undefined) return result

  const loss = stackLoss(p, compiled, state, request.backward)
  const gradientSet = new GradientSet(request.backward.wrt, {
    x: true,
    mask: maskGradient(request.mask),
    ...differentiable,
  })
  const last = shape.layers - 1
  const layerOf = (param: string) => Number(/^layers\.(\d+)\./.exec(param)?.[1] ?? last)
  const wantsParam = (param: string) =>
    emits.has('grad_params') && layers.has(layerOf(param)) && gradientSet.has(`params.${param}`)
  const gradients = stackBackward(
    p,
    state,
    loss.gradOutput,
    loss.scalars,
    wantsParam,
    gradientSet.has('mask'),
    {
      backward(layer, gradOutput, { heads: gradHeads }, block, gradParams) {
        const outputs: OutputTensor[] = []
        if (layers.has(layer) && emits.has('grad_output')) {
          outputs.push({ name: 'tensors.grad_output', buffer: gradOutput, shape: outputShape })
        }
        if (layers.has(layer) && emits.has('grad_weights')) {
          const scalars = entropyWeight === 0 ? undefined : loss.scalars
          const gradient = weightGradient(p, block.attention.attention.attended, gradHeads, scalars)
          outputs.push(...map('backward', layer, 'grad_weights', gradient))
        }
        for (const param of taken) {
          const buffer = layerOf(param.name) === layer ? gradParams.get(param.name) : undefined
          if (buffer !== undefined)
            outputs.push({ name: `tensors.grad_params.${param.name}`, buffer, shape: param.shape })
        }
        reach({ pass: 'backward', index: layer, outputs })
      },
    },
  )
  answerGradients(p, {
    x: [gradientSet.has('x') ? gradients.x : undefined, request.x],
    mask: [gradients.mask, request.mask],
  })
  return result
}

/** Linear attention has no weights. */
function refuseEmits(kind: string, emit: readonly string[]): void {
  if (kind !== 'linear') return
  const has = ['output', 'grad_output', 'grad_params']
  const at = emit.findIndex(name => !has.includes(name))
  if (at < 0) return
  const message = `expected what "attention_kind":"linear" has (${has.join(', ')}), got "${emit[at]}"`
  throw fieldProblem('INVALID_REQUEST', `/emit/${at}`, message)
}
