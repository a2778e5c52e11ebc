/** The store that the settings name. */
import type { Config } from '../config.ts'
import { FileStore } from './file-store.ts'
import type { Store } from './store.ts'
import { TemporaryStore } from './temporary-store.ts'

export async function openStore({
  STORE_URL,
  STORE_BYTES,
}: Pick<Config, 'STORE_URL' | 'STORE_BYTES'>): Promise<Store> {
  if (STORE_URL === undefined) return new TemporaryStore(STORE_BYTES)
  const url = new URL(STORE_URL)
  if (url.protocol === 'file:') return new FileStore(url)
  // the SDK takes its time to load
  const { S3Store } = await import('./s3-store.ts')
  return new S3Store(url)
}
