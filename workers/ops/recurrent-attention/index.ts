import { implement } from '../implement.ts'
import * as gates from './gates.ts'
import * as op from './op.ts'
import * as reference from './reference/index.ts'

export const recurrentAttention = implement(op, { ...reference, ...gates })
