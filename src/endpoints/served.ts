/** Everything that is computed over `POST`: the endpoints, and what is asked about one of them with its body. */
import { compare } from './compare/index.ts'
import type { Endpoint } from './endpoint.ts'
import { explainMask } from './explain-mask/index.ts'
import { gradientCheck } from './gradient-check/index.ts'
import { ENDPOINTS } from './index.ts'

export const SERVED: Endpoint[] = [...ENDPOINTS, compare, gradientCheck, explainMask]
