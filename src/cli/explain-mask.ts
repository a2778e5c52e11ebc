/** `attention-server explain-mask FILE`: what a request's mask lets through, and by which rules. */
import type { Command } from './command.ts'
import { open, postFile, readOptions, readRequest } from './post-file.ts'

export const explainMask: Command = {
  name: 'explain-mask',
  usage: 'FILE.safetensors|FILE.json [--url URL] [--json]',
  summary: 'say what a mask lets through; FILE is the body of POST /v1/explain-mask',
  async run(args) {
    const { file, url, json } = readOptions(args)
    const request = await readRequest(file)
    await using asked = await open(url)
    const body = await postFile(asked, '/v1/explain-mask', request)
    const text = json ? body.toString() : JSON.stringify(JSON.parse(body.toString()), null, 2)
    process.stdout.write(`${text}\n`)
    return 0
  },
}
