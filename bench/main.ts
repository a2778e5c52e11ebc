/**
 * `npm run bench`, or `npm run bench -- kernels layers approximations packed requests small json plans fairness long attacks eventloop peers models`
 * for some of it; `npm run bench -- paired ../other` for two checkouts against each other, `startup ../other` for how they start.
 * Only what is asked for is loaded: a client with a large heap takes longer to collect its garbage, while it measures.
 */
import '../src/revectorize.ts'
import { machine } from './report.ts'

const SECTIONS = {
  kernels: ['Kernels, one thread', async () => (await import('./kernels.ts')).benchKernels()],
  layers: ['Kernels of layers, one thread', async () => (await import('./layers.ts')).benchLayers()],
  approximations: [
    'Approximations of attention, one thread, milliseconds',
    async () => (await import('./approximations.ts')).benchApproximations(),
  ],
  packed: [
    'Packed sequences beside a batch, one thread, milliseconds',
    async () => (await import('./packed.ts')).benchPacked(),
  ],
  peers: ['Beside other libraries', async () => (await import('./peers/main.ts')).benchPeers()],
  models: ['Real models beside transformers', async () => (await import('./models/main.ts')).benchModels()],
  requests: ['Whole requests', async () => (await import('./requests.ts')).benchRequests()],
  small: ['Small requests beside an echo', async () => (await import('./requests.ts')).benchSmall()],
  json: ['Large JSON bodies', async () => (await import('./json.ts')).benchJson()],
  plans: ['Plans beside what requests take', async () => (await import('./plans.ts')).benchPlans()],
  fairness: [
    'All cores for one, fairness for many',
    async () => (await import('./fairness.ts')).benchFairness(),
  ],
  long: ['A long context', async () => (await import('./long.ts')).benchLong()],
  attacks: [
    'Small requests while somebody attacks',
    async () => (await import('./attacks/main.ts')).benchAttacks(),
  ],
  eventloop: [
    'The event loop while it is attacked, milliseconds',
    async () => (await import('./event-loop.ts')).benchEventLoop(),
  ],
} as const

const asked = process.argv.slice(2)
console.log(`# ${machine()}\n`)
if (asked[0] === 'paired') await (await import('./paired.ts')).benchPaired(asked[1])
if (asked[0] === 'startup') await (await import('./startup.ts')).benchStartup(asked[1], asked[2])
for (const [name, [title, run]] of Object.entries(SECTIONS)) {
  if (asked.length > 0 && !asked.includes(name)) continue
  console.log(`## ${title}\n`)
  await run()
}
