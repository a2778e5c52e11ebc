/** What config.json says, read field by field: what is missing or of another kind is told by name. */
import { Problem } from '../problem.ts'

export function unsupported(what: string): Problem {
  return new Problem('MODEL_UNSUPPORTED', what)
}

export function invalid(what: string): Problem {
  return new Problem('MODEL_INVALID', what)
}

export type Fields = Record<string, unknown>

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `fallback`: of a field that may be missing or null. */
export class ModelConfig {
  readonly fields: Fields

  constructor(fields: Fields) {
    this.fields = fields
  }

  has(name: string): boolean {
    return this.fields[name] !== undefined && this.fields[name] !== null
  }

  whole(name: string, fallback?: number): number {
    const value = this.has(name) ? this.fields[name] : fallback
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    throw this.#wrong(name, 'a whole number')
  }

  /** Of what a stack must have at least one. */
  count(name: string, fallback?: number): number {
    const value = this.whole(name, fallback)
    if (value > 0) return value
    throw this.#wrong(name, 'a whole number of at least 1')
  }

  number(name: string, fallback?: number): number {
    const value = this.has(name) ? this.fields[name] : fallback
    if (typeof value === 'number') return value
    throw this.#wrong(name, 'a number')
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.has(name) ? this.fields[name] : fallback
    if (typeof value === 'boolean') return value
    throw this.#wrong(name, 'true or false')
  }

  text(name: string, fallback?: string): string {
    const value = this.has(name) ? this.fields[name] : fallback
    if (typeof value === 'string') return value
    throw this.#wrong(name, 'a string')
  }

  texts(name: string): string[] | undefined {
    if (!this.has(name)) return undefined
    const value = this.fields[name]
    if (Array.isArray(value) && value.every(item => typeof item === 'string')) return value
    throw this.#wrong(name, 'a list of strings')
  }

  object(name: string): ModelConfig | undefined {
    const value = this.fields[name]
    return isFields(value) ? new ModelConfig(value) : undefined
  }

  /** Ids of tokens: one, a list, or none. */
  ids(name: string): number[] {
    const value = this.fields[name]
    const list: unknown[] = Array.isArray(value) ? value : [value]
    return list.filter(id => typeof id === 'number')
  }

  /** Refuses what changes the computation in a way that is not supported. */
  refuse(name: string, ...allowed: unknown[]): void {
    if (!this.has(name) || allowed.includes(this.fields[name])) return
    throw unsupported(`config.json: ${name} ${JSON.stringify(this.fields[name])} is not supported`)
  }

  #wrong(name: string, expected: string): Problem {
    const value = this.fields[name]
    const got = value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 60)
    return invalid(`config.json: ${name}: expected ${expected}, got ${got}`)
  }
}
