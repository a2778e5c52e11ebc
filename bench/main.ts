/** `npm run bench`, or `npm run bench -- kernels layers requests small peers` for some of it. */
import '../src/revectorize.ts'
import { benchKernels } from './kernels.ts'
import { benchLayers } from './layers.ts'
import { benchPeers } from './peers.ts'
import { machine } from './report.ts'
import { benchRequests, benchSmall } from './requests.ts'

const SECTIONS = {
  kernels: ['Kernels, one thread', benchKernels],
  layers: ['Kernels of layers, one thread', benchLayers],
  peers: ['Beside other libraries', benchPeers],
  requests: ['Whole requests', benchRequests],
  small: ['Small requests beside an echo', benchSmall],
} as const

const asked = process.argv.slice(2)
console.log(`# ${machine()}\n`)
for (const [name, [title, run]] of Object.entries(SECTIONS)) {
  if (asked.length > 0 && !asked.includes(name)) continue
  console.log(`## ${title}\n`)
  await run()
}
