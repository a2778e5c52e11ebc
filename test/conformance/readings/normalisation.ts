/**
 * ONNX's LayerNormalization (opset 17) and RMSNormalization (opset 23) as `POST /v1/transformer`: a stack of one layer
 * whose attention and feed-forward network give 0, so that x reaches the final norm unchanged.
 */
import { type FileTensor, float32 } from '../../service/safetensors-file.ts'
import type { OnnxCase, Tensors } from '../onnx-cases.ts'
import { reshaped } from '../tensors.ts'
import { endpointAt, inTypeOf, numberOf, type Reading } from './reading.ts'

const STACK = '`POST /v1/transformer`: the final norm of a stack whose layer adds 0'

export const layerNormalization: Reading = {
  ...normalisation('LayerNormalization', 'layer', `${STACK}. Y alone: no answer has Mean and InvStdDev`),
  without: ['Mean', 'InvStdDev'],
}
export const rmsNormalization = normalisation('RMSNormalization', 'rms', STACK)

function normalisation(operator: string, kind: 'layer' | 'rms', how: string): Reading {
  return {
    operator,
    how,
    read(of) {
      const { X, B } = of.inputs
      const [rows, width] = matrixOf(of)
      const gains: Tensors = { 'final_norm.gamma': reshaped(gainOf(of), [width]) }
      if (B !== undefined) gains['final_norm.beta'] = reshaped(B, [width])
      const params = Object.entries({ ...layerOfZeros(width, kind), ...gains })
      return {
        endpoint: endpointAt('/v1/transformer'),
        tensors: {
          x: reshaped(X, [rows, width]),
          ...Object.fromEntries(params.map(([name, tensor]) => [`stack.params.${name}`, tensor])),
        },
        fields: {
          stack: {
            layers: 1,
            heads: 1,
            norm: 'pre',
            norm_kind: kind,
            norm_eps: numberOf(of, 'epsilon', 1e-5),
          },
          ...inTypeOf(X),
        },
        outputs: { Y: ({ output }) => reshaped(output, X.shape) },
      }
    },
  }
}

/** RMSNormalization writes its name small. */
function gainOf({ inputs: { Scale, scale } }: OnnxCase): FileTensor {
  return Scale ?? scale
}

/** ONNX normalises over all axes from `axis` on (the last one by default): a matrix whose rows are normalised. */
function matrixOf(of: OnnxCase): [rows: number, width: number] {
  const { shape } = of.inputs.X
  const axis = numberOf(of, 'axis', -1)
  const from = axis < 0 ? axis + shape.length : axis
  const extent = (axes: number[]) => axes.reduce((product, length) => product * length, 1)
  return [extent(shape.slice(0, from)), extent(shape.slice(from))]
}

/** With w_o and w_2 of 0 a layer adds 0 to x. */
function layerOfZeros(width: number, kind: 'layer' | 'rms'): Tensors {
  const zeros = (...shape: number[]): FileTensor =>
    float32(new Float32Array(shape.reduce((product, extent) => product * extent, 1)), shape)
  const norms = kind === 'layer' ? ['gamma', 'beta'] : ['gamma']
  return {
    'layers.0.attention.w_q': zeros(width, 1),
    'layers.0.attention.w_k': zeros(width, 1),
    'layers.0.attention.w_v': zeros(width, 1),
    'layers.0.attention.w_o': zeros(1, width),
    'layers.0.ffn.w_1': zeros(width, 1),
    'layers.0.ffn.w_2': zeros(1, width),
    ...Object.fromEntries(norms.map(name => [`layers.0.norm1.${name}`, zeros(width)])),
    ...Object.fromEntries(norms.map(name => [`layers.0.norm2.${name}`, zeros(width)])),
  }
}
