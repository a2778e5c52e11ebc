/** Three replicas restart one after the other, again and again, behind nginx as deploy/nginx/nginx.conf has it: no request fails, streams go on elsewhere. */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import { Client, tensor } from '../../../src/client/index.ts'
import { freePort } from '../../support/free-port.ts'
import { uniformNumbers } from '../../support/numbers.ts'
import { startReplica, terminate } from '../../support/replica.ts'
import { milliseconds, report } from '../figures.ts'
import { SEED, scaled } from '../scale.ts'
import { ask, drawKind, KINDS } from '../traffic.ts'

const ROUNDS = scaled(1, 8)
const CALLERS = scaled(4, 8)
const STREAMS = scaled(2, 6)
const RESTARTED = scaled(1, 3)
const ENV = { SHUTDOWN_DELAY_SECONDS: '1', DRAIN_SECONDS: '30' }

/** The file of the composition, with these servers in place of its containers. */
async function startProxy(ports: number[]): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'rolling-'))
  const port = await freePort()
  let text = await readFile(new URL('../../../deploy/nginx/nginx.conf', import.meta.url), 'utf8')
  for (const [index, each] of ports.entries()) {
    text = text.replaceAll(`replica-${index + 1}:8080`, `127.0.0.1:${each}`)
  }
  text = text
    .replace('/tmp/nginx.pid', `${folder}/pid; daemon off; error_log ${folder}/error.log`)
    .replace('listen 8080', `listen 127.0.0.1:${port}`)
    .replace('worker_processes auto', 'worker_processes 1')
    .replace(
      'access_log off;',
      `access_log off; ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${folder}/${name};`).join(' ')}`,
    )
  await writeFile(join(folder, 'nginx.conf'), text)
  const child = spawn(
    'nginx',
    ['-c', join(folder, 'nginx.conf'), '-p', folder, '-e', join(folder, 'error.log')],
    {
      stdio: 'inherit',
    },
  )
  onTestFinished(async () => {
    child.kill('SIGTERM')
    await rm(folder, { recursive: true, force: true })
  })
  await expect
    .poll(
      () =>
        fetch(`http://127.0.0.1:${port}/health/ready`).then(
          ({ ok }) => ok,
          () => false,
        ),
      { timeout: 30_000 },
    )
    .toBe(true)
  return port
}

it('loses no request and no frame', async () => {
  const replicas = await Promise.all([0, 1, 2].map(() => startReplica(ENV)))
  const port = await startProxy(replicas.map(each => each.port))
  const right = new Map<string, Buffer>()
  const alone = new Agent()
  for (const kind of KINDS) right.set(kind.name, (await ask(port, kind, alone, 0)).bytes)
  const wrong: string[] = []
  const times: number[] = []
  const counts: Record<string, number> = {}
  let going = true

  const draw = uniformNumbers(SEED)
  const caller = async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    while (going) {
      const { kind, status, bytes, ms } = await ask(port, drawKind(draw), agent, 0)
      counts[status] = (counts[status] ?? 0) + 1
      times.push(ms)
      const expected = kind.name === 'malformed' ? 400 : 200
      if (status !== expected) wrong.push(`${kind.name} ${status} ${bytes.toString().slice(0, 200)}`)
      else if (status === 200 && !bytes.equals(right.get(kind.name) as Buffer))
        wrong.push(`${kind.name}: other bytes`)
    }
    agent.destroy()
  }

  const client = new Client(`http://127.0.0.1:${port}`)
  const x = tensor(
    Float32Array.from({ length: 60 * 32 }, (_, at) => Math.sin(at)),
    [60, 32],
  )
  const stack = { layers: 12, heads: 4, d_ff: 64, init: { seed: 1 } } as const
  /** Its frames, the reader taking its time. */
  const framesOf = async (pauseMs: number) => {
    const frames: string[] = []
    for await (const frame of client.stream({ stack, x, emit: ['weights', 'output'], credit: 1 })) {
      if (frame.type === 'layer') frames.push(JSON.stringify({ ...frame, timing: undefined }))
      await wait(pauseMs)
    }
    return frames
  }
  const whole = await framesOf(0)
  expect(whole).toHaveLength(12)
  let streams = 0
  const reader = async () => {
    while (going) {
      const frames = await framesOf(60).catch((error: unknown) => [String(error)])
      streams++
      if (frames.join('\n') !== whole.join('\n'))
        wrong.push(`a stream of ${frames.length} frames: ${frames.at(-1)?.slice(0, 200)}`)
    }
  }
  const load = [...Array.from({ length: CALLERS }, caller), ...Array.from({ length: STREAMS }, reader)]
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const [index, replica] of replicas.slice(0, RESTARTED).entries()) {
        await wait(1000)
        expect(await terminate(replica)).toBe(0)
        replicas[index] = await startReplica(ENV, replica.port)
        // as a rollout waits for readiness, and nginx tries one that has refused again after 2 s
        await wait(2500)
      }
    }
  } finally {
    going = false
    await Promise.all(load)
  }
  expect(wrong.slice(0, 5)).toEqual([])
  expect(streams).toBeGreaterThan(0)
  report(
    'rolling restarts behind nginx',
    `${3 * ROUNDS} restarts: ${times.length} requests (${JSON.stringify(counts)} by status, 400 those that are malformed), ${streams} streams of 12 frames, none failed, all frames equal; ${milliseconds(times)}`,
  )
})
