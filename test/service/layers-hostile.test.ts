/** Hostile and odd requests to the layers: each an error that names the field, or an answer without a trace of what it must not show. */
import { describe, expect, it } from 'vitest'
import { drawer, type Flat } from '../support/layer-cases.ts'
import { float32, readFile, values, writeFile } from './safetensors-file.ts'
import { post, SAFETENSORS_TYPE, settled, startServer } from './server.ts'

const server = await startServer({ MAX_REQUEST_BYTES: String(64 << 20), MAX_FLOPS: '1e10' })
const used = server.app.engine.arena.usedBytes

const SELF = '/v1/self-attention'
const MULTI = '/v1/multi-head-attention'
const STACK = '/v1/transformer'
const POSITIONS = '/v1/positional-encoding'

const I = [
  [1, 0],
  [0, 1],
]
const x = [
  [1, 2],
  [3, 4],
]
const params = { w_q: I, w_k: I, w_v: I }
const headed = { x, heads: 1, params: { ...params, w_o: I } }
const init = {}
const nothing = (...shape: number[]) => ({ shape, data: [] })
const one = { layers: 1, heads: 1 }
const drawn = { ...one, init }

describe('what is wrong is named', () => {
  it.each<[string, string, object | string, string, string, RegExp]>([
    ['x of rank 1', SELF, { x: [1, 2], params }, 'SHAPE_MISMATCH', '/x', /rank 2 or 3, got \[2\]/],
    ['x of rank 4', STACK, { x: [[x]], stack: drawn }, 'SHAPE_MISMATCH', '/x', /rank 2 or 3/],
    ['no features', STACK, { x: nothing(2, 0), stack: drawn }, 'SHAPE_MISMATCH', '/x/shape', /at least 1/],
    ['both', SELF, { x, params, init }, 'INVALID_REQUEST', '', /one of params and init, got both/],
    ['neither', STACK, { x, stack: one }, 'INVALID_REQUEST', '/stack', /got neither/],
    [
      'a missing weight',
      SELF,
      { x, params: { w_k: I, w_v: I } },
      'INVALID_REQUEST',
      '/params/w_q',
      /got nothing/,
    ],
    [
      'an unknown weight',
      SELF,
      { x, params: { ...params, w_z: I } },
      'INVALID_REQUEST',
      '/params/w_z',
      /no such/,
    ],
    [
      'a missing weight of a stack',
      STACK,
      { x, stack: { ...one, params: {} } },
      'INVALID_REQUEST',
      '/stack/params/layers.0.attention.w_q',
      /expected a tensor, got nothing/,
    ],
    [
      '__proto__ among parameters',
      SELF,
      '{"x":[[1]],"params":{"w_q":[[1]],"w_k":[[1]],"w_v":[[1]],"__proto__":[[1]]}}',
      'INVALID_REQUEST',
      '/params/__proto__',
      /no such field/,
    ],
    [
      '__proto__ among the parameters of a stack',
      STACK,
      JSON.stringify({ x: [[1]], stack: { ...one, params: weightsOfOne({ p: [1] }) } }).replace(
        '"p"',
        '"__proto__"',
      ),
      'INVALID_REQUEST',
      '/stack/params/__proto__',
      /no such field/,
    ],
    [
      '__proto__',
      STACK,
      '{"x":[[1]],"__proto__":{"stack":1}}',
      'INVALID_REQUEST',
      '/__proto__',
      /no such field/,
    ],
    [
      'rank of a weight',
      MULTI,
      { ...headed, params: { ...headed.params, w_q: [I] } },
      'SHAPE_MISMATCH',
      '/params/w_q',
      /rank 2/,
    ],
    [
      'rows of w_o',
      MULTI,
      { ...headed, params: { ...params, w_o: [[1, 2]] } },
      'SHAPE_MISMATCH',
      '/params/w_o',
      /\[2, 2\], got \[1, 2\]/,
    ],
    [
      'a bool weight',
      SELF,
      { x, params: { ...params, w_q: [[true, false]] } },
      'INVALID_REQUEST',
      '/params/w_q',
      /got bool/,
    ],
    [
      'an empty weight',
      SELF,
      { x, params: { ...params, w_v: [[], []] } },
      'SHAPE_MISMATCH',
      '/params/w_v',
      /no empty axis/,
    ],
    [
      'a bias',
      SELF,
      { x, params: { ...params, b_q: [1] } },
      'SHAPE_MISMATCH',
      '/params/b_q',
      /\[2\], got \[1\]/,
    ],
    [
      'NaN in a weight',
      SELF,
      {
        x,
        params: {
          ...params,
          w_v: [
            [1, 'NaN'],
            [1, 1],
          ],
        },
      },
      'NON_FINITE',
      '/params/w_v/0/1',
      /"NaN"/,
    ],
    [
      'a size beside weights',
      SELF,
      { x, params, d_k: 2 },
      'INVALID_REQUEST',
      '/d_k',
      /no size beside params/,
    ],
    ['heads', MULTI, { x, heads: 3, init }, 'INVALID_REQUEST', '/heads', /divides d_model = 2.*got 3/],
    [
      'kv_heads',
      MULTI,
      { x, heads: 2, kv_heads: 3, init },
      'INVALID_REQUEST',
      '/kv_heads',
      /divides heads = 2/,
    ],
    ['columns for heads', MULTI, { ...headed, heads: 3 }, 'SHAPE_MISMATCH', '/params/w_q', /3 heads divide/],
    [
      'batch of a context',
      MULTI,
      { ...headed, x: [x], context: [x, x] },
      'SHAPE_MISMATCH',
      '/context',
      /\[1, M, d_context\]/,
    ],
    [
      'rank of a context',
      MULTI,
      { ...headed, context: [x] },
      'SHAPE_MISMATCH',
      '/context',
      /\[M, d_context\]/,
    ],
    [
      'width of a context',
      MULTI,
      { ...headed, context: [[1, 2, 3]] },
      'SHAPE_MISMATCH',
      '/params/w_k',
      /\[3, 2\], got \[2, 2\]/,
    ],
    ['a past by half', SELF, { x, params, past_k: x }, 'INVALID_REQUEST', '/past_v', /together/],
    [
      'rank of a past',
      SELF,
      { x, params, past_k: [x], past_v: [x] },
      'SHAPE_MISMATCH',
      '/past_k',
      /expected \[P, 2\], got \[1, 2, 2\]/,
    ],
    [
      'width of a past',
      SELF,
      { x, params, past_k: [[1]], past_v: [[1]] },
      'SHAPE_MISMATCH',
      '/past_k',
      /\[1, 2\], got \[1, 1\]/,
    ],
    [
      'length of a past',
      SELF,
      { x, params, past_k: x, past_v: [[1, 2]] },
      'SHAPE_MISMATCH',
      '/past_v',
      /\[2, 2\], got \[1, 2\]/,
    ],
    [
      'a past of a stack',
      STACK,
      { x, stack: drawn, past_k: x },
      'INVALID_REQUEST',
      '/past_k',
      /no such field/,
    ],
    [
      'wrt',
      SELF,
      { x, params, backward: { target: x, wrt: ['y'] } },
      'INVALID_REQUEST',
      '/backward/wrt/0',
      /an input or "params.<name>", got string "y"/,
    ],
    [
      'wrt a weight',
      SELF,
      { x, params, backward: { target: x, wrt: ['x', 'params.w'] } },
      'INVALID_REQUEST',
      '/backward/wrt/1',
      /x, params.w_q.*got "params.w"/,
    ],
    [
      'wrt a past that is not there',
      SELF,
      { x, params, backward: { target: x, wrt: ['past_k'] } },
      'INVALID_REQUEST',
      '/backward/wrt/0',
      /got "past_k"/,
    ],
    [
      'wrt a bool mask',
      SELF,
      { x, params, mask: [[true, true]], backward: { target: x, wrt: ['mask'] } },
      'INVALID_REQUEST',
      '/backward/wrt/0',
      /bool mask/,
    ],
    [
      'wrt a prototype',
      STACK,
      { x, stack: drawn, backward: { target: x, wrt: ['params.__proto__'] } },
      'INVALID_REQUEST',
      '/backward/wrt/0',
      /got "params.__proto__"/,
    ],
    [
      'target',
      MULTI,
      { ...headed, backward: { target: [[1]] } },
      'SHAPE_MISMATCH',
      '/backward/target',
      /\[2, 2\], got \[1, 1\]/,
    ],
    [
      'no layers',
      STACK,
      { x, stack: { ...drawn, layers: 0 } },
      'INVALID_REQUEST',
      '/stack/layers',
      /at least 1, got number 0/,
    ],
    [
      'many layers',
      STACK,
      { x, stack: { ...drawn, layers: 1e9 } },
      'INVALID_REQUEST',
      '/stack/layers',
      /at most 256/,
    ],
    [
      'half a layer',
      STACK,
      { x, stack: { ...drawn, layers: 1.5 } },
      'INVALID_REQUEST',
      '/stack/layers',
      /an integer, got number 1.5/,
    ],
    [
      'd_model',
      STACK,
      { x, stack: { ...drawn, d_model: 3 } },
      'SHAPE_MISMATCH',
      '/stack/d_model',
      /extent 2, got 3/,
    ],
    [
      'd_ff',
      STACK,
      { x, stack: { ...drawn, d_ff: 2 ** 25 } },
      'INVALID_REQUEST',
      '/stack/d_ff',
      /at most 16777216/,
    ],
    [
      'heads of a stack',
      STACK,
      { x, stack: { ...drawn, heads: 3 } },
      'INVALID_REQUEST',
      '/stack/heads',
      /divides d_model = 2, got 3/,
    ],
    [
      'rope beside another position',
      STACK,
      { x, stack: { ...drawn, position: 'none', rope: {} } },
      'INVALID_REQUEST',
      '/stack/rope',
      /"position":"rope"/,
    ],
    [
      'rope of an odd head',
      STACK,
      { x: [[1, 2, 3]], stack: { ...drawn, position: 'rope' } },
      'INVALID_REQUEST',
      '/stack/rope/dims',
      /d_k = 3, got 3 \(the default\)/,
    ],
    [
      'a seed',
      STACK,
      { x, stack: { ...one, init: { seed: 2 ** 53 } } },
      'INVALID_REQUEST',
      '/stack/init/seed',
      /at most 9007199254740991/,
    ],
    [
      'a scheme',
      SELF,
      { x, init: { scheme: 'zeros' } },
      'INVALID_REQUEST',
      '/init/scheme',
      /"xavier_uniform".*got string "zeros"/,
    ],
    [
      'a softcap in the stack and beside it',
      STACK,
      { x, stack: { ...drawn, softcap: 2 }, softcap: 2 },
      'INVALID_REQUEST',
      '/stack/softcap',
      /expected stack\/softcap or softcap, got both/,
    ],
    [
      'a scale in the stack and beside it',
      STACK,
      { x, stack: { ...drawn, scale: 2 }, scale: 2 },
      'INVALID_REQUEST',
      '/stack/scale',
      /expected stack\/scale or scale, got both/,
    ],
    [
      'a scale in a stack of linear attention',
      STACK,
      { x, stack: { ...drawn, scale: 2 }, attention_kind: 'linear' },
      'INVALID_REQUEST',
      '/stack/scale',
      /none beside "attention_kind":"linear"/,
    ],
    [
      'head_dim beside parameters that say another',
      STACK,
      { x: [[1]], stack: { ...one, head_dim: 2, params: weightsOfOne({}) } },
      'SHAPE_MISMATCH',
      '/stack/params/layers.0.attention.w_q',
      /1 heads of head_dim = 2 columns, got \[1, 1\]/,
    ],
    [
      'a gain of queries alone',
      STACK,
      { x: [[1]], stack: { ...one, params: weightsOfOne({ 'layers.0.attention.q_norm.gamma': [1] }) } },
      'INVALID_REQUEST',
      '/stack/params/layers.0.attention.k_norm.gamma',
      /expected a tensor, got nothing/,
    ],
    [
      'a gain of the model’s width',
      STACK,
      {
        x: [[1]],
        stack: {
          ...one,
          params: weightsOfOne({
            'layers.0.attention.q_norm.gamma': [1, 1],
            'layers.0.attention.k_norm.gamma': [1],
          }),
        },
      },
      'SHAPE_MISMATCH',
      '/stack/params/layers.0.attention.q_norm.gamma',
      /expected \[1\], got \[2\]/,
    ],
    [
      'gains beside an l2 norm',
      STACK,
      {
        x: [[1]],
        qk_norm: 'l2',
        stack: {
          ...one,
          params: weightsOfOne({
            'layers.0.attention.q_norm.gamma': [1],
            'layers.0.attention.k_norm.gamma': [1],
          }),
        },
      },
      'INVALID_REQUEST',
      '/stack/params/layers.0.attention.q_norm.gamma',
      /qk_norm of "kind":"rms" beside gains.*got "l2"/,
    ],
    [
      'windows by layer, but not one for each',
      STACK,
      { x, stack: { ...drawn, window: [{ left: 1 }, null] } },
      'INVALID_REQUEST',
      '/stack/window',
      /stack\/layers = 1, got 2/,
    ],
    [
      'ropes by layer, but not one for each',
      STACK,
      { x, stack: { ...drawn, rope: [] } },
      'INVALID_REQUEST',
      '/stack/rope',
      /stack\/layers = 1, got 0/,
    ],
    [
      'a window by layer that is none',
      STACK,
      { x, stack: { ...drawn, window: [{ left: -1 }] } },
      'INVALID_REQUEST',
      '/stack/window/0/left',
      /at least 0, got number -1/,
    ],
    [
      'a window that is none',
      STACK,
      { x, stack: { ...drawn, window: { left: 'a' } } },
      'INVALID_REQUEST',
      '/stack/window/left',
      /a number, got string "a"/,
    ],
    [
      'a rope by layer of an odd dims',
      STACK,
      { x, stack: { ...drawn, rope: [{ dims: 3 }] } },
      'INVALID_REQUEST',
      '/stack/rope/0/dims',
      /even/,
    ],
    [
      'windows in the stack and beside it',
      STACK,
      { x, stack: { ...drawn, window: [null] }, window: { left: 1 } },
      'INVALID_REQUEST',
      '/stack/window',
      /stack\/window or window, got both/,
    ],
    [
      'a past of a stack that is not causal',
      STACK,
      { x, stack: drawn, past: {} },
      'INVALID_REQUEST',
      '/past',
      /causal stack beside past, got stack\/causal false/,
    ],
    [
      'the present of a stack that is not causal',
      STACK,
      { x, stack: drawn, return: ['present'] },
      'INVALID_REQUEST',
      '/return/0',
      /causal stack beside "present"/,
    ],
    [
      'a past without values',
      STACK,
      { x, stack: { ...drawn, causal: true }, past: { 'layers.0.k': [[[1, 2]]] } },
      'INVALID_REQUEST',
      '/past/layers.0.v',
      /expected a tensor, got nothing/,
    ],
    [
      'a past of more layers',
      STACK,
      {
        x,
        stack: { ...drawn, causal: true },
        past: { 'layers.0.k': [[[1, 2]]], 'layers.0.v': [[[1, 2]]], 'layers.1.k': [[[1, 2]]] },
      },
      'INVALID_REQUEST',
      '/past/layers.1.k',
      /no such tensor/,
    ],
    [
      'a past of other heads',
      STACK,
      { x, stack: { ...drawn, causal: true }, past: { 'layers.0.k': [[[1]]], 'layers.0.v': [[[1]]] } },
      'SHAPE_MISMATCH',
      '/past/layers.0.k',
      /expected \[1, 1, 2\], got \[1, 1, 1\]/,
    ],
    [
      'a past of two lengths',
      STACK,
      {
        x,
        stack: { ...drawn, layers: 2, causal: true },
        past: {
          'layers.0.k': [[[1, 2]]],
          'layers.0.v': [[[1, 2]]],
          'layers.1.k': [
            [
              [1, 2],
              [3, 4],
            ],
          ],
          'layers.1.v': [
            [
              [1, 2],
              [3, 4],
            ],
          ],
        },
      },
      'SHAPE_MISMATCH',
      '/past/layers.1.k',
      /1 positions as in layers.0.k, got 2/,
    ],
    [
      'a context beside an encoder',
      STACK,
      { x, stack: drawn, context: x, encoder: { stack: drawn, x } },
      'INVALID_REQUEST',
      '/encoder',
      /encoder or context, got both/,
    ],
    [
      'lengths of a context beside an encoder',
      STACK,
      { x, stack: drawn, context_lengths: [1], encoder: { stack: drawn, x } },
      'INVALID_REQUEST',
      '/encoder',
      /encoder or context_lengths, got both/,
    ],
    [
      'an encoder of another batch',
      STACK,
      { x, stack: drawn, encoder: { stack: drawn, x: [x] } },
      'SHAPE_MISMATCH',
      '/encoder/x',
      /expected \[M, d_context\], got \[1, 2, 2\]/,
    ],
    [
      'what is wrong in the stack of an encoder',
      STACK,
      { x, stack: drawn, encoder: { stack: { ...drawn, heads: 3 }, x } },
      'INVALID_REQUEST',
      '/encoder/stack/heads',
      /divides d_model = 2, got 3/,
    ],
    [
      'lengths beyond an encoder’s rows',
      STACK,
      { x: [x], stack: drawn, encoder: { stack: drawn, x: [x], q_lengths: [3] } },
      'INVALID_TENSOR',
      '/encoder/q_lengths/0',
      /from 0 to 2, got 3/,
    ],
    [
      'a number of an encoder’s input',
      STACK,
      {
        x,
        stack: drawn,
        encoder: {
          stack: drawn,
          x: [
            [1, 'NaN'],
            [1, 2],
          ],
        },
      },
      'NON_FINITE',
      '/encoder/x/0/1',
      /finite/,
    ],
    [
      'a gradient of an encoder that is not there',
      STACK,
      { x, stack: drawn, backward: { target: x, wrt: ['encoder.x'] } },
      'INVALID_REQUEST',
      '/backward/wrt/0',
      /got "encoder.x"/,
    ],
    [
      'lengths of a context that is not there',
      STACK,
      { x, stack: drawn, context_lengths: [1] },
      'INVALID_REQUEST',
      '/context_lengths',
      /context beside context_lengths, got none/,
    ],
    [
      'cross-attention without a context',
      STACK,
      { x, stack: drawn, return: ['output', 'cross_weights'] },
      'INVALID_REQUEST',
      '/return/1',
      /context or encoder beside "cross_weights", got none/,
    ],
    [
      'a context of another batch',
      STACK,
      { x: [[[1, 2]]], stack: drawn, context: [[[1, 2]], [[1, 2]]] },
      'SHAPE_MISMATCH',
      '/context',
      /expected \[1, M, d_context\], got \[2, 1, 2\]/,
    ],
    [
      'lengths beyond a context',
      STACK,
      { x: [[[1, 2]]], stack: drawn, context: [[[1, 2]]], context_lengths: [2] },
      'INVALID_TENSOR',
      '/context_lengths/0',
      /from 0 to 1, got 2/,
    ],
    [
      'parameters of cross-attention without a context',
      STACK,
      { x: [[1]], stack: { ...one, params: weightsOfOne({ 'layers.0.cross_attention.w_q': [[1]] }) } },
      'INVALID_REQUEST',
      '/stack/params/layers.0.cross_attention.w_q',
      /no such parameter/,
    ],
    [
      'no parameters of cross-attention beside a context',
      STACK,
      { x: [[1]], context: [[1]], stack: { ...one, params: weightsOfOne({}) } },
      'INVALID_REQUEST',
      '/stack/params/layers.0.cross_attention.w_q',
      /expected a tensor, got nothing/,
    ],
    [
      'the beta of a final norm without its gamma',
      STACK,
      { x: [[1]], stack: { ...one, params: weightsOfOne({ 'final_norm.beta': [1] }) } },
      'INVALID_REQUEST',
      '/stack/params/final_norm.beta',
      /no such parameter/,
    ],
    [
      'a layer too many',
      STACK,
      { x: [[1]], stack: { ...one, params: weightsOfOne({ 'layers.1.norm1.gamma': [1] }) } },
      'INVALID_REQUEST',
      '/stack/params/layers.1.norm1.gamma',
      /no such parameter/,
    ],
    [
      'a name with a slash',
      STACK,
      { x: [[1]], stack: { ...one, params: weightsOfOne({ 'a/b~c': [1] }) } },
      'INVALID_REQUEST',
      '/stack/params/a~1b~0c',
      /no such parameter/,
    ],
    [
      'kind',
      POSITIONS,
      { kind: 'learned', length: 1, d_model: 2 },
      'INVALID_REQUEST',
      '/kind',
      /one of "sinusoidal", "rope", "alibi", got string "learned"/,
    ],
    [
      'no length',
      POSITIONS,
      { kind: 'sinusoidal', d_model: 2 },
      'INVALID_REQUEST',
      '/length',
      /a number \(or x\), got nothing/,
    ],
    ['length', POSITIONS, { kind: 'sinusoidal', x, length: 3 }, 'SHAPE_MISMATCH', '/length', /x's 2, got 3/],
    [
      'an odd rotation',
      POSITIONS,
      { kind: 'rope', length: 4, d_model: 3 },
      'INVALID_REQUEST',
      '/dims',
      /even/,
    ],
    ['rank for alibi', POSITIONS, { kind: 'alibi', x }, 'SHAPE_MISMATCH', '/x', /\[heads, N, M\]/],
    [
      'heads without end',
      POSITIONS,
      { kind: 'alibi', x: nothing(2 ** 30, 0, 1) },
      'SHAPE_MISMATCH',
      '/x/shape',
      /at most 65536 heads/,
    ],
    [
      'backward of a table',
      POSITIONS,
      { kind: 'rope', length: 1, d_model: 2, backward: { grad_output: x } },
      'INVALID_REQUEST',
      '/x',
      /beside backward/,
    ],
    [
      'entropy of no attention',
      POSITIONS,
      { kind: 'rope', x, backward: { grad_output: x, entropy_weight: 1 } },
      'INVALID_REQUEST',
      '/backward/entropy_weight',
      /nothing attends/,
    ],
  ])('%s', async (_name, path, body, code, pointer, message) => {
    const answer = await post(server, path, body)
    expect(answer.body).toMatchObject({ status: 400, code })
    expect(answer.body.errors[0].path).toBe(pointer)
    expect(answer.body.errors[0].message).toMatch(message)
  })
})

/** The parameters of one layer of width 1, and more. */
function weightsOfOne(more: object): object {
  const names = ['attention.w_q', 'attention.w_k', 'attention.w_v', 'attention.w_o', 'ffn.w_1', 'ffn.w_2']
  return {
    ...Object.fromEntries(names.map(name => [`layers.0.${name}`, [[1]]])),
    'layers.0.norm1.gamma': [1],
    'layers.0.norm2.gamma': [1],
    ...more,
  }
}

describe('a small request for something huge', () => {
  it.each<[string, string, object]>([
    ['parameters of 2⁶⁰ elements', STACK, { x: nothing(0, 2 ** 30), stack: drawn }],
    [
      '256 layers, their biases alone 38 GB',
      STACK,
      { x: nothing(0, 2 ** 24), stack: { ...one, layers: 256, d_ff: 2 ** 24, init: { bias: true } } },
    ],
    [
      '65536 heads in 256 layers',
      STACK,
      { x: nothing(0, 65536), stack: { layers: 256, heads: 65536, position: 'alibi', init } },
    ],
    ['2³⁰ batch elements', MULTI, { x: nothing(2 ** 30, 0, 4), heads: 2, init, return: ['weights'] }],
    ['a wide head', SELF, { x: nothing(0, 1), d_k: 2 ** 24, init }],
    ['a long table', POSITIONS, { kind: 'sinusoidal', length: 2 ** 24, d_model: 2 ** 24 }],
    ['a bias for every pair', POSITIONS, { kind: 'alibi', length: 2 ** 24, heads: 65536 }],
  ])('is refused before anything of that size is made: %s', async (_name, path, body) => {
    const before = process.memoryUsage().rss
    const answer = await post(server, path, body)
    expect(answer.status).toBe(413)
    expect(process.memoryUsage().rss - before).toBeLessThan(256 << 20)
    const plan = await post(server, '/v1/plan', { endpoint: path, body })
    expect(plan.body.admitted ?? plan.status).toSatisfy(found => found === false || found === 413)
  })
})

describe('safetensors', () => {
  const tensor = (shape: number[]) => float32(drawer(shape[0])(...shape).data, shape)
  const names = {
    'attention.w_q': [4, 4],
    'attention.w_k': [4, 4],
    'attention.w_v': [4, 4],
    'attention.w_o': [4, 4],
    'norm1.gamma': [4],
    'norm2.gamma': [4],
    'ffn.w_1': [4, 6],
    'ffn.w_2': [6, 4],
  }
  const stackTensors = Object.fromEntries(
    Object.entries(names).map(([name, shape]) => [`stack.params.layers.0.${name}`, tensor(shape)]),
  )
  const tensors = { x: tensor([3, 4]), 'backward.grad_output': tensor([3, 4]), ...stackTensors }
  const request = { stack: { layers: 1, heads: 2 } }
  const send = (file: Buffer<ArrayBuffer>, accept: string) =>
    fetch(server.url + STACK, {
      method: 'POST',
      headers: { 'content-type': SAFETENSORS_TYPE, accept },
      body: file,
    })

  it('in and out, and the same as JSON', async () => {
    const file = writeFile(tensors, { request: JSON.stringify(request) })
    const binary = readFile(Buffer.from(await (await send(file, SAFETENSORS_TYPE)).arrayBuffer()))
    const json = JSON.parse(await (await send(file, 'application/json')).text())
    const flat = ({ shape, ...each }: (typeof tensors)['x']) => ({ shape, data: values({ shape, ...each }) })
    const plain = await post(server, STACK, {
      x: flat(tensors.x),
      backward: { grad_output: flat(tensors['backward.grad_output']) },
      stack: {
        ...request.stack,
        params: Object.fromEntries(
          Object.entries(stackTensors).map(([name, each]) => [
            name.slice('stack.params.'.length),
            flat(each),
          ]),
        ),
      },
    })
    expect(json).toEqual(plain.body)
    expect(Object.keys(binary.tensors).sort()).toEqual(
      ['output', 'grads.x', ...Object.keys(names).map(name => `grads.params.layers.0.${name}`)].sort(),
    )
    expect(values(binary.tensors['grads.params.layers.0.ffn.w_1'])).toEqual(
      json.grads.params['layers.0.ffn.w_1'].flat().map(Math.fround),
    )
  })

  it.each<[string, Record<string, object>, object, RegExp]>([
    ['a parameter twice', { 'stack.params.a': tensor([1]) }, { stack: { params: { a: 1 } } }, /got two/],
    [
      'params as a tensor',
      { 'stack.params': tensor([1]), 'stack.params.a': tensor([1]) },
      request,
      /got two/,
    ],
    ['__proto__', { ...tensors, 'stack.params.__proto__': tensor([1]) }, request, /no such field/],
    ['an empty name', { ...tensors, 'stack.params.': tensor([1]) }, request, /no such parameter/],
    [
      'another layer',
      { ...tensors, 'stack.params.layers.00.norm1.gamma': tensor([4]) },
      request,
      /no such parameter/,
    ],
    ['the stack as a tensor', { stack: tensor([1]) }, {}, /^\/stack/],
  ])('%s', async (_name, files, body, message) => {
    const response = await send(
      writeFile(files as typeof tensors, { request: JSON.stringify(body) }),
      'application/json',
    )
    expect(response.status).toBe(400)
    expect(((await response.json()) as { detail: string }).detail).toMatch(message)
  })
})

describe('seeds', () => {
  it('up to 2⁵³ − 1 give every layer dropout of its own', async () => {
    const stack = { layers: 4, heads: 1, init: { seed: 2 ** 53 - 1 } }
    const body = { x: drawer(1)(12, 4), stack, return: ['dropped_weights'], encoding: 'flat' }
    for (const seed of [2 ** 53 - 1, 2 ** 32 - 1, 0]) {
      const answer = await post(server, STACK, { ...body, dropout: { p: 0.5, seed } })
      const kept = (answer.body.layers as { dropped_weights: Flat }[]).map(({ dropped_weights }) =>
        dropped_weights.data.map(Boolean).join(),
      )
      expect(new Set(kept).size).toBe(4)
    }
  })
})

it('the log says what came in in few words, however many parameters came', async () => {
  const stack = { ...one, params: weightsOfOne({}) }
  expect((await post(server, STACK, { x: [[1]], stack })).status).toBe(200)
  const { inputs } = JSON.parse(server.log.findLast(line => line.includes('"inputs"')) ?? '{}')
  expect(inputs).toEqual({ x: [1, 1], params: 8 })
})

it('after all of it: no 5xx, no memory kept', async () => {
  expect(server.log.filter(line => /"status":5/.test(line))).toEqual([])
  expect(await settled(server, used)).toBe(used)
})
