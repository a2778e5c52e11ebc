/** `attention-server verify FILE`: is what a kernel has computed right? */
import { writeFile } from 'node:fs/promises'
import type { CompareReport } from '../endpoints/compare/answer.ts'
import type { Command } from './command.ts'
import { withErrorMaps } from './error-maps.ts'
import { open, postFile, readOptions, readRequest } from './post-file.ts'

export const verify: Command = {
  name: 'verify',
  usage: 'FILE.safetensors|FILE.json [--url URL] [--html OUT.html] [--json]',
  summary: 'hold a kernel’s results beside the float64 truth; FILE is the body of POST /v1/compare',
  async run(args) {
    const { file, url, json, html } = readOptions(args, true)
    const given = await readRequest(file)
    const request = html === undefined ? given : withErrorMaps(given)
    await using asked = await open(url)
    const body = await postFile(asked, '/v1/compare', request)
    const report = JSON.parse(body.toString()) as CompareReport
    if (html !== undefined) {
      const { reportAsHtml } = await import('../endpoints/compare/report-html.ts')
      await writeFile(html, reportAsHtml(report)).catch((error: Error) => {
        throw new Error(`${html} cannot be written: ${error.message}`)
      })
    }
    if (json) process.stdout.write(`${body}\n`)
    else {
      const { reportAsText } = await import('../endpoints/compare/report-text.ts')
      process.stdout.write(reportAsText(report))
    }
    return report.verdict === 'pass' ? 0 : 1
  },
}
