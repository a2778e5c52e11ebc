/** nginx takes the configuration that docker-compose.yml gives it. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

it('nginx can read deploy/nginx/nginx.conf', async () => {
  const text = await readFile(new URL('../../deploy/nginx/nginx.conf', import.meta.url), 'utf8')
  const folder = await mkdtemp(join(tmpdir(), 'nginx-'))
  try {
    const file = join(folder, 'nginx.conf')
    // the names of servers are those of containers
    await writeFile(
      file,
      text.replaceAll(/replica-\d/g, '127.0.0.1').replace('/tmp/nginx.pid', `${folder}/pid`),
    )
    const { stderr } = await promisify(execFile)('nginx', ['-t', '-c', file])
    expect(stderr).toContain('test is successful')
  } finally {
    await rm(folder, { recursive: true })
  }
})
