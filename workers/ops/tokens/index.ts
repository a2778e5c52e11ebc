import { implement } from '../implement.ts'
import * as kernel from './kernel.ts'
import * as op from './op.ts'
import * as pooling from './pooling.ts'
import * as sampling from './sampling.ts'

export const tokens = implement(op, { ...kernel, ...pooling, ...sampling })
