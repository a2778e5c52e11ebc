/** What stands in deploy/ fits together and names what there is: settings, metrics, paths. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { readConfig, SETTINGS } from '../src/config.ts'
import type { Answer } from './service/server.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const read = (name: string) => readFileSync(join(ROOT, name), 'utf8')
const FILES = ['docker-compose.yml', ...below('deploy', /\.(ya?ml|json)$/)]

function below(folder: string, kind: RegExp): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map(name => join(folder, name).replaceAll('\\', '/'))
    .filter(name => kind.test(name))
}

type Manifest = Answer['body']

function manifests(name: string): Manifest[] {
  return parseAllDocuments(read(name), { merge: true, strict: true }).map(document => {
    expect(document.errors).toEqual([])
    return document.toJS()
  })
}

/** What pods are made from it: none of an InferenceService that leaves that to a runtime. */
function pods({ spec }: Manifest): Manifest[] {
  return [spec.template?.spec, spec.predictor, spec].filter(each => each?.containers).slice(0, 1)
}

const KSERVE = below('deploy/kserve', /\.yaml$/).flatMap(manifests)
const PODS = [...manifests('deploy/kubernetes/deployment.yaml'), ...KSERVE].flatMap(pods)

it.each(FILES)('%s can be read', name => {
  expect(manifests(name).length).toBeGreaterThan(0)
})

it('sets only settings that there are', () => {
  const known = new Set(SETTINGS.map(({ name }) => name))
  const [compose] = manifests('docker-compose.yml')
  const [deployment] = manifests('deploy/kubernetes/deployment.yaml')
  const [kustomization] = manifests('deploy/kubernetes/kustomization.yaml')
  const named = [
    ...Object.keys(compose.services['replica-1'].environment),
    ...kustomization.configMapGenerator[0].literals.map((line: string) => line.split('=')[0]),
    ...[...pods(deployment), ...KSERVE.flatMap(pods)].flatMap(({ containers }) =>
      containers[0].env.map(({ name }: { name: string }) => name),
    ),
  ]
  expect(named.length).toBeGreaterThan(10)
  expect(named.filter(name => !known.has(name))).toEqual([])
})

it('knows the metrics that it shows and that it warns of', () => {
  const sources = below('src', /\.ts$/).map(read).join()
  const texts = below('deploy', /(alerts\.yml|dashboards\/.*\.json|autoscaler\.yaml)$/).map(read)
  const metrics = new Set(texts.flatMap(text => text.match(/\battention_[a-z_]+/g) ?? []))
  expect(metrics.size).toBeGreaterThan(8)
  const unknown = [...metrics].filter(name => !sources.includes(`'${name.replace(/_bucket$/, '')}'`))
  expect(unknown).toEqual([])
})

it('is on Kubernetes what a hardened, available service is', () => {
  const [kustomization] = manifests('deploy/kubernetes/kustomization.yaml')
  const all: Manifest[] = kustomization.resources.flatMap((name: string) =>
    manifests(`deploy/kubernetes/${name}`),
  )
  const of = (kind: string) => all.find(each => each.kind === kind)
  const deployment = of('Deployment')
  const { labels } = deployment.spec.template.metadata
  for (const selector of [
    deployment.spec.selector.matchLabels,
    of('Service').spec.selector,
    of('PodDisruptionBudget').spec.selector.matchLabels,
    of('NetworkPolicy').spec.podSelector.matchLabels,
  ]) {
    expect(labels).toMatchObject(selector)
  }
  expect(of('HorizontalPodAutoscaler').spec.scaleTargetRef.name).toBe(deployment.metadata.name)
  // a number beside the autoscaler's would be set again by each apply
  expect(deployment.spec).not.toHaveProperty('replicas')
  expect(of('PodDisruptionBudget').spec.unhealthyPodEvictionPolicy).toBe('AlwaysAllow')
  const { spec } = deployment.spec.template
  const [container] = spec.containers
  const settings = Object.fromEntries(
    kustomization.configMapGenerator[0].literals.map((line: string) => line.split('=')),
  )
  const leaving = Number(settings.SHUTDOWN_DELAY_SECONDS)
  expect(spec.terminationGracePeriodSeconds).toBeGreaterThan(leaving + Number(settings.DRAIN_SECONDS))
  expect(container.readinessProbe.periodSeconds).toBeLessThan(leaving)
  const redis = container.env.find(({ name }: { name: string }) => name === 'REDIS_URL')
  expect(redis.valueFrom.secretKeyRef.key).toBe('redis-url')
})

it('has pods that the restricted standard admits and that are the last to be evicted', () => {
  expect(PODS).toHaveLength(3)
  for (const pod of PODS) {
    for (const { securityContext, resources } of [...pod.containers, ...(pod.initContainers ?? [])]) {
      expect({ ...pod.securityContext, ...securityContext }).toMatchObject({
        runAsNonRoot: true,
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        seccompProfile: { type: 'RuntimeDefault' },
      })
      expect(Object.keys(resources.limits)).toEqual(['cpu', 'memory'])
      expect(resources.requests).toEqual(resources.limits)
    }
    const folders = pod.volumes.flatMap(({ emptyDir }: Manifest) => emptyDir ?? [])
    for (const folder of folders) expect(folder.sizeLimit).toBeDefined()
  }
})

it('gives pods of KServe the time to leave that the defaults take, and is asked for readiness more often', () => {
  const { SHUTDOWN_DELAY_SECONDS, DRAIN_SECONDS } = readConfig({})
  const services = KSERVE.filter(({ kind }) => kind === 'InferenceService')
  expect(services).toHaveLength(2)
  for (const { spec } of services)
    expect(spec.predictor.terminationGracePeriodSeconds).toBeGreaterThan(
      SHUTDOWN_DELAY_SECONDS + DRAIN_SECONDS,
    )
  for (const { containers } of KSERVE.flatMap(pods))
    expect(containers[0].readinessProbe.periodSeconds).toBeLessThan(SHUTDOWN_DELAY_SECONDS)
})

describe('the container that copies the keys', () => {
  const [deployment] = manifests('deploy/kubernetes/deployment.yaml')
  const { initContainers, containers } = deployment.spec.template.spec
  const [shell, option, script] = initContainers[0].command
  let folder: string
  const copy = (AUTH: string) =>
    spawnSync(shell, [option, script.replaceAll(/\/(?=secret|keys\/)/g, `${folder}/`)], {
      env: { ...process.env, AUTH },
    }).status

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'attention-server-deploy-'))
    for (const name of ['secret', 'keys']) mkdirSync(join(folder, name))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('gives them to their owner alone, again where it is started again', () => {
    writeFileSync(join(folder, 'secret/keys.json'), '{}', { mode: 0o440 })
    expect([copy('keys'), copy('keys')]).toEqual([0, 0])
    expect(statSync(join(folder, 'keys/keys.json')).mode & 0o077).toBe(0)
    // the first copy cannot be written; root, who may run this test, can
    expect(script).toContain('cp -f ')
  })

  it('fails without those that AUTH asks for, and wants none otherwise', () => {
    expect(copy('keys')).not.toBe(0)
    expect(copy('oidc')).toBe(0)
    const secret = deployment.spec.template.spec.volumes.find(({ name }: Manifest) => name === 'secret')
    expect(secret.secret.optional).toBe(true)
    // both know AUTH from the same places
    expect(initContainers[0].envFrom).toEqual(containers[0].envFrom)
    expect(containers[0].envFrom).toContainEqual({
      secretRef: { name: 'attention-server-env', optional: true },
    })
  })
})

it('has three servers behind nginx, over one Redis that keeps what it has taken', () => {
  const [compose] = manifests('docker-compose.yml')
  const replicas = Object.keys(compose.services).filter(name => name.startsWith('replica-'))
  expect(replicas).toHaveLength(3)
  const nginx = read('deploy/nginx/nginx.conf')
  const prometheus = read('deploy/prometheus/prometheus.yml')
  for (const name of replicas) {
    expect(nginx).toContain(`server ${name}:8080`)
    expect(prometheus).toContain(`${name}:8080`)
  }
  expect(compose.services.redis.command.join(' ')).toContain('--appendonly yes')
  expect(compose.services.redis.command.join(' ')).toContain('noeviction')
})

it('is an image of stages from one exact base, which runs as nobody in particular and says whether it is healthy', () => {
  const lines = read('Dockerfile').replaceAll('\\\n', ' ').split('\n')
  const of = (word: string) =>
    lines.filter(line => line.startsWith(`${word} `)).map(line => line.slice(word.length + 1))
  for (const line of of('FROM')) expect(line).toMatch(/^\$\{NODE\}( AS \w+)?$/)
  expect(of('FROM').length).toBeGreaterThan(2)
  const [base] = of('ARG')
  expect(base).toMatch(/^NODE=node:\d+\.\d+\.\d+-slim$/)
  const { devDependencies } = JSON.parse(read('package.json'))
  expect(base).toContain(`:${devDependencies.node.replace('^', '')}-`)
  expect(of('USER').at(-1)).toBe('node')
  expect(of('HEALTHCHECK')).toHaveLength(1)
  expect(of('LABEL').join(' ')).toContain('io.attention-server.sbom=/app/sbom.cdx.json')
  // what is built and run for a release is built from the digest of that base
  const release = read('.github/workflows/release.yml')
  expect(release).toContain('imagetools inspect')
  expect(release).toContain('--build-arg NODE="$NODE"')
  expect(release).toContain('npm audit --omit=dev')
})
