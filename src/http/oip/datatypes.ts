/** Datatypes of the protocol, and what this server calls them. */
import type { ElementType, WrittenType } from '../../../workers/contract.ts'

export const ELEMENT_TYPE_OF = {
  FP64: 'float64',
  FP32: 'float32',
  FP16: 'float16',
  BF16: 'bfloat16',
  BOOL: 'bool',
  INT32: 'int32',
  INT64: 'int64',
} as const satisfies Record<string, ElementType>

export type Datatype = keyof typeof ELEMENT_TYPE_OF

export const DATATYPES = Object.keys(ELEMENT_TYPE_OF) as [Datatype, ...Datatype[]]

const DATATYPE_OF = Object.fromEntries(Object.entries(ELEMENT_TYPE_OF).map(([name, type]) => [type, name]))

export function datatypeOf(type: WrittenType): string {
  return DATATYPE_OF[type] ?? 'UINT8'
}

/** A message about element types, in the protocol's names. */
export function inDatatypes(message: string): string {
  return message.replace(/\b(float(64|32|16)|bfloat16|int(32|64)|bool)\b/g, type =>
    datatypeOf(type as WrittenType),
  )
}
