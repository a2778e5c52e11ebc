/** One request in every form in and out, every type of element, and answers whose text is written in windows. */
import { ATTENTION, type Case, PRECISIONS, STACK } from './case.ts'
import { type Body, drawer, type Form, mapTensors } from './tensors.ts'

const FORMS: Form[] = ['flat', 'nested', 'base64', 'safetensors']
const ENCODINGS = ['nested', 'flat', 'base64']
const DTYPES = ['float64', 'float32', 'float16', 'bfloat16']

function request(more: Body): Body {
  const draw = drawer('forms')
  return {
    q: draw(2, 2, 5, 4),
    k: draw(2, 2, 7, 4),
    v: draw(2, 2, 7, 3),
    mask: draw.bools(5, 7),
    kv_lengths: { shape: [2], data: [7, 4], dtype: 'int32' },
    alibi: draw(2),
    return: ['output', 'weights', 'logsumexp'],
    backward: { target: draw(2, 2, 5, 3), entropy_weight: 0.5 },
    ...more,
  }
}

const forms = FORMS.flatMap(form =>
  [...ENCODINGS, 'safetensors'].flatMap(answer =>
    PRECISIONS.map((precision): Case => {
      const binary = answer === 'safetensors'
      return {
        name: `${form} in, ${answer} out, ${precision}`,
        path: ATTENTION,
        body: () => request({ precision, ...(!binary && { encoding: answer }) }),
        form,
        binary,
      }
    }),
  ),
)

const outputTypes = DTYPES.flatMap(dtype =>
  [...ENCODINGS, 'safetensors'].flatMap(answer =>
    PRECISIONS.map((precision): Case => {
      const binary = answer === 'safetensors'
      return {
        name: `${dtype} out as ${answer}, ${precision}`,
        path: ATTENTION,
        body: () => request({ precision, output_dtype: dtype, ...(!binary && { encoding: answer }) }),
        binary,
      }
    }),
  ),
)

const inputTypes = DTYPES.flatMap(dtype =>
  (['base64', 'safetensors'] as const).map((form): Case => {
    const typed = mapTensors(request({ mask: undefined, kv_lengths: [7, 2] }), tensor => ({
      ...tensor,
      dtype,
    }))
    return { name: `${dtype} in as ${form}`, path: ATTENTION, body: () => typed as Body, form }
  }),
)

/** Maps of 2·257·257 numbers, over a megabyte of text. */
function wide(precision: string, more: Body): Body {
  const draw = drawer('windows')
  const operands = { q: draw(2, 257, 3), k: draw(2, 257, 3), v: draw(2, 257, 5) }
  return { ...operands, causal: true, precision, return: ['weights', 'masked_scores', 'output'], ...more }
}

const windows = PRECISIONS.flatMap(precision =>
  [...ENCODINGS, 'safetensors'].map((answer): Case => {
    const binary = answer === 'safetensors'
    return {
      name: `windows of ${answer}, ${precision}`,
      path: ATTENTION,
      body: () => wide(precision, binary ? { output_dtype: 'float16' } : { encoding: answer }),
      form: 'base64',
      binary,
    }
  }),
)

const stackFile: Case = {
  name: 'a stack as safetensors, in and out',
  path: STACK,
  body: () => {
    const draw = drawer('a stack in a file')
    return {
      stack: { layers: 2, heads: 2, norm: 'pre', init: { seed: 2 } },
      x: draw(2, 9, 8),
      mask: draw.bools(9, 9),
      return: ['output', 'weights', 'entropy', 'params'],
      backward: { target: draw(2, 9, 8) },
    }
  },
  form: 'safetensors',
  binary: true,
}

export const FORM_CASES: Case[] = [...forms, ...outputTypes, ...inputTypes, ...windows, stackFile]
