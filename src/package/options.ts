/** The settings as options of a call: `MAX_BODY_BYTES` is `maxBodyBytes`. The environment is not read. */
import { type Config, readConfig, SETTINGS } from '../config.ts'

type Camel<Name extends string> = Name extends `${infer First}_${infer Rest}`
  ? `${Lowercase<First>}${Capitalize<Camel<Rest>>}`
  : Lowercase<Name>

export type Settings = { [Name in keyof Config as Camel<Name>]?: Config[Name] | undefined }

function camelCase(name: string): string {
  return name.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
}

const NAMES = new Map(SETTINGS.map(({ name }) => [camelCase(name), name]))

/** Throws with a message that names what is wrong. */
export function configOf(settings: Record<string, unknown>): Config {
  const given = Object.entries(settings).flatMap(([key, value]) => {
    const name = NAMES.get(key)
    if (name === undefined) throw new TypeError(`expected one of ${[...NAMES.keys()].join(', ')}, got ${key}`)
    return value === undefined ? [] : [[name, String(value)]]
  })
  return readConfig(Object.fromEntries(given))
}
