/** States worth seeing: the article's example, and what shows each of its errors. */
import type { Matrix } from '../matrix/matrix.ts'
import type { Words } from '../words/english.ts'
import { type AttentionState, WORKED_EXAMPLE } from './state.ts'

export interface Example {
  id: string
  title: keyof Words
  state: AttentionState
}

function ofOne(x: Matrix, more: Partial<AttentionState> = {}): AttentionState {
  return { ...WORKED_EXAMPLE, q: x, k: x, v: x, target: x, ...more }
}

const weights = { matrix: 'weights', row: 0, col: 0 }

const SCALED: AttentionState = {
  ...WORKED_EXAMPLE,
  q: [[1, 0, 0, 0]],
  k: [
    [1, 0, 0, 0],
    [0, 1, 0, 0],
  ],
  v: [
    [1, 0],
    [0, 1],
  ],
  target: [[1, 0]],
  tokens: ['e₁', 'e₂'],
  cell: weights,
}

/** Aligned at the bottom right, the first of three queries sees none of two keys. */
const EMPTY_ROW: AttentionState = {
  ...WORKED_EXAMPLE,
  k: WORKED_EXAMPLE.k.slice(0, 2),
  v: WORKED_EXAMPLE.v.slice(0, 2),
  causal: 'bottom_right',
  cell: weights,
}

export const EXAMPLES: Example[] = [
  { id: 'worked', title: 'exampleWorked', state: { ...WORKED_EXAMPLE, cell: weights } },
  {
    id: 'gradients',
    title: 'exampleGradients',
    state: { ...WORKED_EXAMPLE, gradients: true, cell: { matrix: 'grad_scores', row: 0, col: 0 } },
  },
  { id: 'scaled', title: 'exampleScaled', state: SCALED },
  {
    id: 'first_head',
    title: 'exampleFirstHead',
    state: ofOne(
      [
        [1, 0],
        [0, 1],
        [0, 0],
      ],
      { cell: weights },
    ),
  },
  {
    id: 'second_head',
    title: 'exampleSecondHead',
    state: ofOne(
      [
        [0, 0],
        [0, 0],
        [1, 0],
      ],
      { cell: { matrix: 'weights', row: 2, col: 2 } },
    ),
  },
  { id: 'empty_row', title: 'exampleEmpty', state: EMPTY_ROW },
]

/** The article's errors in its order, each with the example that shows the right value. */
export const ERRORS = [
  { name: 'errorScaled', example: 'scaled' },
  { name: 'errorSoftmax', example: 'worked' },
  { name: 'errorMask', example: 'empty_row' },
  { name: 'errorCode', example: 'first_head' },
  { name: 'errorName', example: 'gradients' },
] as const

export function example(id: string): Example {
  const found = EXAMPLES.find(each => each.id === id)
  if (found === undefined) throw new Error(`no example ${id}`)
  return found
}
