import { implement } from '../implement.ts'
import { headMaxima } from './head-maxima.ts'
import * as op from './op.ts'
import * as reference from './reference/index.ts'
import { weightGradient } from './weight-gradient.ts'

export const attention = implement(op, { ...reference, headMaxima, weightGradient })
