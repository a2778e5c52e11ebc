/** Of requests: clients in some languages send null for lists and maps that are not set, and null counts as absent. */
import type { Json } from './components.ts'

export function orNull<Node>(node: Node): Node {
  if (Array.isArray(node)) return node.map(orNull) as Node
  if (typeof node !== 'object' || node === null) return node
  const found = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, orNull(value)])) as Json
  const { properties, required = [] } = found as { properties?: Record<string, Json>; required?: string[] }
  if (properties !== undefined && Array.isArray(required)) {
    const members = Object.entries(properties).map(([name, schema]) => {
      const many = schema.type === 'array' || (schema.type === 'object' && !schema.properties)
      const unset = many && !required.includes(name) && !('default' in schema)
      return [name, unset ? { ...schema, type: [schema.type, 'null'] } : schema]
    })
    found.properties = Object.fromEntries(members)
  }
  return found as Node
}
