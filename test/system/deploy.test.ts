/** nginx and Prometheus take the files that docker-compose.yml gives them. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
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

it('Prometheus can read its configuration and the rules of its alerts', async () => {
  const folder = fileURLToPath(new URL('../../deploy/prometheus/', import.meta.url))
  const promtool = async (...args: string[]) => {
    const { stdout, stderr } = await promisify(execFile)('promtool', args, { cwd: folder })
    return stdout + stderr
  }
  expect(await promtool('check', 'config', 'prometheus.yml')).toContain('SUCCESS')
  expect(await promtool('check', 'rules', 'alerts.yml')).toMatch(/SUCCESS: \d+ rules found/)
})
