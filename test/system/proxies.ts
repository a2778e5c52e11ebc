/** Real proxies in front of replicas, with their default settings but for what is said. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll } from 'vitest'
import { freePort } from '../support/free-port.ts'

const started = new Set<ChildProcess>()
const folders: string[] = []
afterAll(() => {
  for (const child of started) child.kill('SIGKILL')
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

async function start(command: string, args: string[], port: number): Promise<string> {
  const child = spawn(command, args)
  let told = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', text => {
      told += text
    })
  }
  child.on('error', error => {
    told += String(error)
  })
  started.add(child)
  for (let attempt = 0; attempt < 200; attempt++) {
    if (child.exitCode !== null) break
    if (await listens(port)) return `http://127.0.0.1:${port}`
    await wait(25)
  }
  throw new Error(`${command} did not start: ${told}`)
}

function listens(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'attention-server-proxy-'))
  folders.push(folder)
  return folder
}

/**
 * `root`: lines for the location of everything. A replica that refused a connection is tried again after 1 s, not 10, so that a
 * test need not wait as long as a rollout does.
 */
export async function startNginx(ports: number[], root = ''): Promise<string> {
  const folder = scratchFolder()
  const port = await freePort()
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const config = `
daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 1024; }
http {
  access_log off; client_max_body_size 300m;
  ${paths.map(name => `${name}_temp_path ${folder}/${name};`).join(' ')}
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  upstream replicas { ${ports.map(each => `server 127.0.0.1:${each} fail_timeout=1s;`).join(' ')} }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { proxy_pass http://replicas; ${root} }
    location /prefix/ {
      proxy_pass http://replicas/; proxy_http_version 1.1; proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-Prefix /prefix;
    }
  }
}`
  writeFileSync(join(folder, 'nginx.conf'), config)
  return start(
    'nginx',
    ['-c', join(folder, 'nginx.conf'), '-p', folder, '-e', join(folder, 'error.log')],
    port,
  )
}

export async function startHaproxy(ports: number[], check = ''): Promise<string> {
  const folder = scratchFolder()
  const port = await freePort()
  const config = `
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend all
  bind 127.0.0.1:${port}
  default_backend replicas
backend replicas
  ${check}
${ports.map((each, n) => `  server r${n} 127.0.0.1:${each} ${check && 'check inter 200ms fall 1 rise 1'}`).join('\n')}
`
  writeFileSync(join(folder, 'haproxy.cfg'), config)
  return start('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')], port)
}
