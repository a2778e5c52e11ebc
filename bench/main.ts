/**
 * `npm run bench`, or `npm run bench -- kernels layers approximations packed requests small json plans fairness long attacks eventloop peers models`
 * for some of it; `npm run bench -- paired ../other` for two checkouts against each other, `startup ../other` for how they start.
 */
import '../src/revectorize.ts'
import { benchApproximations } from './approximations.ts'
import { benchAttacks } from './attacks/main.ts'
import { benchEventLoop } from './event-loop.ts'
import { benchFairness } from './fairness.ts'
import { benchJson } from './json.ts'
import { benchKernels } from './kernels.ts'
import { benchLayers } from './layers.ts'
import { benchLong } from './long.ts'
import { benchModels } from './models/main.ts'
import { benchPacked } from './packed.ts'
import { benchPaired } from './paired.ts'
import { benchPeers } from './peers/main.ts'
import { benchPlans } from './plans.ts'
import { machine } from './report.ts'
import { benchRequests, benchSmall } from './requests.ts'
import { benchStartup } from './startup.ts'

const SECTIONS = {
  kernels: ['Kernels, one thread', benchKernels],
  layers: ['Kernels of layers, one thread', benchLayers],
  approximations: ['Approximations of attention, one thread, milliseconds', benchApproximations],
  packed: ['Packed sequences beside a batch, one thread, milliseconds', benchPacked],
  peers: ['Beside other libraries', benchPeers],
  models: ['Real models beside transformers', benchModels],
  requests: ['Whole requests', benchRequests],
  small: ['Small requests beside an echo', benchSmall],
  json: ['Large JSON bodies', benchJson],
  plans: ['Plans beside what requests take', benchPlans],
  fairness: ['All cores for one, fairness for many', benchFairness],
  long: ['A long context', benchLong],
  attacks: ['Small requests while somebody attacks', benchAttacks],
  eventloop: ['The event loop while it is attacked, milliseconds', benchEventLoop],
} as const

const asked = process.argv.slice(2)
console.log(`# ${machine()}\n`)
if (asked[0] === 'paired') await benchPaired(asked[1])
if (asked[0] === 'startup') await benchStartup(asked[1], asked[2])
for (const [name, [title, run]] of Object.entries(SECTIONS)) {
  if (asked.length > 0 && !asked.includes(name)) continue
  console.log(`## ${title}\n`)
  await run()
}
