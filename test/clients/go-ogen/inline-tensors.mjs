// ogen writes the key of an optional member whose schema is named and of any type, with nothing behind it: such schemas stand
// where they are used instead. node inline-tensors.mjs openapi-3.0.json > inline.json
import { readFileSync } from 'node:fs'

const document = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const { schemas } = document.components
const isAny = ({ $ref = '' }) =>
  Object.keys(schemas[$ref.split('/').pop()] ?? { type: 1 }).every(key => key === 'description')
const inline = (_, value) => {
  if (value?.allOf?.some(isAny)) return { description: value.description }
  return value?.$ref && isAny(value) ? {} : value
}
process.stdout.write(JSON.stringify(document, inline))
