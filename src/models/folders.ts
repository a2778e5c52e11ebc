/** Where models stand: a folder each in MODELS_DIR, and beside them those that come with the service. */
import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Of the models that come with the service; one of the same name in MODELS_DIR stands in its place. */
export const BUILT_IN = fileURLToPath(new URL('../../models', import.meta.url))

/** Names and where they stand, by name; the first folder that has a name has it. */
export async function findModels(folders: string[]): Promise<Map<string, string>> {
  const found = await Promise.all(folders.map(modelsIn))
  const paths = new Map(found.reverse().flat())
  return new Map([...paths].sort(([a], [b]) => (a < b ? -1 : 1)))
}

async function modelsIn(folder: string): Promise<[name: string, path: string][]> {
  const entries = await readdir(folder).catch(() => [])
  const paths = entries.filter(name => !name.startsWith('.')).map(name => join(folder, name))
  const folders = await Promise.all(
    paths.map(path =>
      stat(path).then(
        found => found.isDirectory(),
        () => false,
      ),
    ),
  )
  return paths.filter((_, index) => folders[index]).map(path => [basename(path), path])
}
