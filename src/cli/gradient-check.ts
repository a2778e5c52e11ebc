/** `attention-server gradient-check FILE`: are the gradients of a request those of its loss? */
import type { Command } from './command.ts'
import { open, postFile, readOptions, readRequest } from './post-file.ts'
import { table } from './table.ts'

interface Check {
  index?: number[]
  analytic: number | string
  numeric: number | string | null
  error: number | string | null
  kink?: string
}

interface Answer {
  verdict: 'pass' | 'fail'
  inputs: Record<
    string,
    {
      verdict: string
      worst: number | string | null
      kinks: number
      checks: Check[]
      directions: Check[]
    }
  >
}

export const gradientCheck: Command = {
  name: 'gradient-check',
  usage: 'FILE.safetensors|FILE.json [--url URL] [--json]',
  summary: 'hold gradients beside differences of the loss; FILE is the body of POST /v1/gradient-check',
  async run(args) {
    const { file, url, json } = readOptions(args)
    const request = await readRequest(file)
    await using asked = await open(url)
    const body = await postFile(asked, '/v1/gradient-check', request)
    const answer = JSON.parse(body.toString()) as Answer
    process.stdout.write(json ? `${body}\n` : asText(answer))
    return answer.verdict === 'pass' ? 0 : 1
  },
}

/** The worst checks of an input that fails. */
const MOST_LISTED = 5

function asText({ verdict, inputs }: Answer): string {
  const rows = Object.entries(inputs).map(([name, { verdict, worst, kinks, checks, directions }]) => [
    name,
    verdict.toUpperCase(),
    short(worst),
    String(checks.length),
    String(directions.length),
    String(kinks),
  ])
  const head = ['input', 'verdict', 'worst', 'entries', 'directions', 'kinks']
  const details = Object.entries(inputs).flatMap(([name, { verdict, checks, directions }]) => {
    if (verdict === 'pass') return []
    const all = [...checks, ...directions].filter(({ error }) => error !== null)
    const worst = all.toSorted((a, b) => Number(b.error) - Number(a.error)).slice(0, MOST_LISTED)
    const lines = worst.map(({ index, analytic, numeric, error }) => {
      const where = index === undefined ? 'a direction' : `[${index.join(', ')}]`
      return `  ${where}: analytic ${analytic}, numeric ${numeric}, error ${short(error)}`
    })
    return ['', `${name}:`, ...lines]
  })
  const kinks = Object.entries(inputs).flatMap(([name, { checks }]) => {
    const kink = checks.find(each => each.kink !== undefined)
    return kink === undefined ? [] : [`${name} [${kink.index?.join(', ')}]: ${kink.kink}`]
  })
  const lines = [verdict.toUpperCase(), '', ...table([head, ...rows]), ...details]
  if (kinks.length > 0) lines.push('', ...kinks)
  return `${lines.join('\n')}\n`
}

function short(value: number | string | null): string {
  if (value === null) return '-'
  return typeof value === 'number' ? value.toPrecision(3) : value
}
