/**
 * Gives every object, union and enumeration inside a schema a name among the components, one for all that are alike: generators
 * of clients call what has none by a number. Unions become `oneOf`, their members told apart by `kind` where they have it.
 */
import { type Json, ref } from './components.ts'

type Schemas = Record<string, Json>

/** Names that say nothing without the schema they stand in. */
const VAGUE =
  /^(Params|Grads|Backward|Return|Wrt|Layer|Layers|Problem|Body|Status|Kernels|Memory|Endpoint|Kind|Index|Change|Head|Heads|Item|Error|Value)$/

/** What is found at many places, by its JSON without spaces. */
const KNOWN: Record<string, string> = {
  '{"type":"string","enum":["NaN","Infinity","-Infinity"]}': 'NonFinite',
  '{"type":"string","enum":["NaN","Infinity"]}': 'NotANumberOrInfinity',
  '{"oneOf":[{"type":"number","format":"double"},{"$ref":"#/components/schemas/NonFinite"}]}': 'AnyNumber',
  '{"oneOf":[{"type":"number","format":"double"},{"$ref":"#/components/schemas/NotANumberOrInfinity"}]}':
    'ErrorNumber',
  '{"type":"string","enum":["reject","propagate"]}': 'NonFiniteInputs',
  '{"type":"string","enum":["top_left","bottom_right"]}': 'Alignment',
}

const ANNOTATIONS = ['description', 'default', 'deprecated']

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function pascal(text: string): string {
  return text.replace(/(^|[_\W]+)(\w)/g, (_, __, letter: string) => letter.toUpperCase())
}

/** The same for schemas that say the same. */
function keyOf(schema: Json): string {
  return JSON.stringify(schema, (_, value) =>
    isJson(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => order(a) - order(b) || (a < b ? -1 : 1)))
      : value,
  )
}

function order(key: string): number {
  return key === 'type' ? 0 : 1
}

class Names {
  readonly schemas: Schemas = {}
  readonly #names = new Map<string, string>(Object.entries(KNOWN))
  readonly #taken: Set<string>

  constructor(names: string[]) {
    this.#taken = new Set([...names, ...Object.values(KNOWN)])
  }

  /** A schema with nothing in it that has no name. */
  add(name: string, schema: Json): void {
    // the order of the given names is that of the document
    this.schemas[name] = {}
    this.schemas[name] = this.#inside(name, schema)
  }

  #inside(name: string, schema: Json): Json {
    const found: Json = { ...schema }
    const { properties, items, additionalProperties, prefixItems } = schema
    if (isJson(properties)) {
      const members = Object.entries(properties).map(([key, value]) => [
        key,
        this.#part(name, key, value as Json),
      ])
      found.properties = Object.fromEntries(members)
    }
    if (isJson(items)) found.items = this.#part(name, 'item', items)
    if (isJson(additionalProperties))
      found.additionalProperties = this.#part(name, 'value', additionalProperties)
    if (Array.isArray(prefixItems))
      found.prefixItems = prefixItems.map(each => this.#part(name, 'item', each))
    const forms = schema.oneOf ?? schema.anyOf
    return Array.isArray(forms) ? this.#union(name, found, forms) : found
  }

  /** What stands in a property, or in its list or map. */
  #part(parent: string, key: string, schema: Json): Json {
    if ('$ref' in schema) return schema
    if (Array.isArray(schema.allOf) && schema.allOf.length === 1) {
      const { allOf, ...rest } = schema
      return { ...rest, ...allOf[0] }
    }
    if ([schema.type].flat().includes('array') && isJson(schema.items)) {
      return { ...schema, items: this.#part(parent, singular(key), schema.items) }
    }
    const { additionalProperties } = schema
    if ([schema.type].flat().includes('object') && !schema.properties && isJson(additionalProperties)) {
      return { ...schema, additionalProperties: this.#part(parent, singular(key), additionalProperties) }
    }
    const orNull = onlyOrNull(schema)
    if (orNull !== undefined) return orNull
    const isPlain =
      !schema.enum && !schema.oneOf && !schema.anyOf && !(schema.type === 'object' && schema.properties)
    return isPlain ? schema : this.#hoist(parent, pascal(key), schema)
  }

  #hoist(parent: string, base: string, schema: Json): Json {
    const own = Object.entries(schema).filter(([key]) => !ANNOTATIONS.includes(key))
    const said = Object.entries(schema).filter(([key]) => ANNOTATIONS.includes(key))
    const inner = Object.fromEntries(own)
    const candidates = VAGUE.test(base) ? [parent + base] : [base, parent + base]
    const planned = candidates.find(name => !this.#taken.has(name)) ?? `${parent}${base}Options`
    const key = keyOf(inner)
    let name = this.#names.get(key)
    if (name === undefined) {
      this.#taken.add(planned)
      this.#names.set(key, planned)
      const whole = this.#inside(planned, inner)
      // members that have names by now may make it one that is known
      name = KNOWN[keyOf(whole)] ?? planned
      this.#names.set(key, name)
      this.schemas[name] = whole
    } else if (!(name in this.schemas)) this.schemas[name] = this.#inside(name, inner)
    // a union has no default: generators cannot say of which member it is
    const isUnion = 'oneOf' in this.schemas[name]
    return { ...Object.fromEntries(said.filter(([key]) => key !== 'default' || !isUnion)), ...ref(name) }
  }

  #union(name: string, found: Json, forms: Json[]): Json {
    const { anyOf: _, oneOf: __, default: ___, ...rest } = found
    if (forms.every(({ type }) => type === 'string')) {
      return { ...rest, type: 'string', anyOf: forms.map(form => this.#member(name, form)) }
    }
    const members = forms.map(form => this.#member(name, form))
    const byKind = members.filter(({ $ref }) => this.#kinds($ref) !== undefined)
    if (byKind.length < 2) return { ...rest, oneOf: members }
    const mapping = Object.fromEntries(
      byKind.flatMap(({ $ref }) => (this.#kinds($ref) ?? []).map(kind => [kind, $ref])),
    )
    const told = { type: 'object', oneOf: byKind, discriminator: { propertyName: 'kind', mapping } }
    if (byKind.length === members.length) return { ...rest, ...told }
    const options = `${name}Options`
    this.schemas[options] = told
    return { ...rest, oneOf: [...members.filter(each => !byKind.includes(each)), ref(options)] }
  }

  #member(union: string, form: Json): Json {
    const { properties } = form as { properties?: { kind?: { const?: string } } }
    const kind = properties?.kind?.const
    if (form.const !== undefined)
      return this.#hoist(union, `${union}Name`, { type: 'string', enum: [form.const] })
    if (form.enum) return this.#hoist(union, `${union}Name`, form)
    if (properties)
      return this.#hoist(union, kind === undefined ? `${union}Fields` : pascal(kind) + union, form)
    return this.#part(union, 'item', form)
  }

  #kinds($ref: unknown): string[] | undefined {
    const name = typeof $ref === 'string' ? $ref.slice($ref.lastIndexOf('/') + 1) : ''
    const { properties } = (this.schemas[name] ?? {}) as { properties?: { kind?: Json } }
    const kind = properties?.kind
    if (kind === undefined) return undefined
    const named = kind.$ref === undefined ? kind : this.schemas[String(kind.$ref).replace(/.*\//, '')]
    return named.const === undefined ? (named.enum as string[] | undefined) : [String(named.const)]
  }
}

/** `X or null` of a plain X: one schema of two types. */
function onlyOrNull({ anyOf, oneOf = anyOf, ...rest }: Json): Json | undefined {
  if (!Array.isArray(oneOf) || oneOf.length !== 2 || oneOf[1].type !== 'null') return undefined
  const { type, enum: values, properties } = oneOf[0] as Json
  if (typeof type !== 'string' || values || properties) return undefined
  return { ...oneOf[0], type: [type, 'null'], ...rest }
}

function singular(name: string): string {
  return name.replace(/(?<=[a-hj-z])s$/, '')
}

/** Every number with its format, and with plain bounds alone. */
export function withFormats(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withFormats)
  if (!isJson(node)) return node
  const found: Json = {}
  for (const [key, value] of Object.entries(node)) {
    const isValue = ['default', 'enum', 'const', 'example', 'examples', 'required'].includes(key)
    found[key] = isValue ? value : withFormats(value)
  }
  const types = [found.type].flat()
  if (types.includes('number')) {
    found.format ??= 'double'
    withPlainBounds(found)
  }
  if (types.includes('integer')) {
    found.format ??= isShort(found) ? 'int32' : 'int64'
  }
  return found
}

/** Without the bounds that every integer of JSON is within: they say something of what is sent, and nothing of what is got. */
export function withoutSafeBounds<Node>(node: Node): Node {
  if (Array.isArray(node)) return node.map(withoutSafeBounds) as Node
  if (!isJson(node)) return node
  const members = Object.entries(node).filter(
    ([key, value]) =>
      !(key === 'minimum' && value === Number.MIN_SAFE_INTEGER) &&
      !(key === 'maximum' && value === Number.MAX_SAFE_INTEGER),
  )
  return Object.fromEntries(members.map(([key, value]) => [key, withoutSafeBounds(value)])) as Node
}

/** Generators take an exclusive bound for the boolean that it was in OpenAPI 3.0: the number beside it says the same. */
function withPlainBounds(schema: Json): void {
  const { exclusiveMinimum: above, exclusiveMaximum: below } = schema
  if (typeof above === 'number') schema.minimum = beside(above, 1)
  if (typeof below === 'number') schema.maximum = beside(below, -1)
  delete schema.exclusiveMinimum
  delete schema.exclusiveMaximum
}

/** The float64 next to a number, towards one end. */
function beside(number: number, direction: 1 | -1): number {
  if (number === 0) return direction * Number.MIN_VALUE
  const bits = new BigInt64Array(new Float64Array([number]).buffer)
  bits[0] += BigInt(direction * Math.sign(number))
  return new Float64Array(bits.buffer)[0]
}

function isShort({
  minimum = -Infinity,
  maximum = Infinity,
}: {
  minimum?: number
  maximum?: number
}): boolean {
  return minimum >= -(2 ** 31) && maximum < 2 ** 31
}

export function named(schemas: Schemas): Schemas {
  const names = new Names(Object.keys(schemas))
  // what others name comes first: a union looks into its members
  for (const [name, schema] of Object.entries(withFormats(schemas) as Schemas).sort(byUse))
    names.add(name, schema)
  const given = Object.keys(schemas)
  const added = Object.keys(names.schemas).filter(name => !given.includes(name))
  return Object.fromEntries([...given, ...added.sort()].map(name => [name, names.schemas[name]]))
}

/** Schemas of one kind before those that choose among them. */
function byUse([, a]: [string, Json], [, b]: [string, Json]): number {
  return uses(a) - uses(b)
}

function uses(schema: Json): number {
  const { properties } = schema as { properties?: { kind?: unknown } }
  return properties?.kind === undefined ? 1 : 0
}
