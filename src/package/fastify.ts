/**
 * `import { attention } from 'attention-server/fastify'`: the service's routes in somebody's own Fastify. They stand in a scope
 * of their own, so that hooks, parsers and the handler of errors hold for them alone; hooks that came before hold for them too.
 */
import '../revectorize.ts'
import type { FastifyInstance } from 'fastify'
import { install } from '../app.ts'
import { docs } from '../http/docs/index.ts'
import { page } from '../http/page.ts'
import { Metrics } from '../http/plugins/observe.ts'
import { configOf, type Settings } from './options.ts'

export interface AttentionOptions extends Settings {
  /** before every path, as `/attention`: Fastify's own option */
  prefix?: string | undefined
  /** the documents, `/openapi.json` and `/docs` among them; wanted unless false */
  docs?: boolean | undefined
  /** the page at `/`, or at the prefix; not wanted unless true */
  page?: boolean | undefined
}

/** `await fastify.register(attention, { prefix: '/attention', threads: 2 })` */
export async function attention(fastify: FastifyInstance, options: AttentionOptions): Promise<void> {
  const { prefix: _, docs: wantsDocs = true, page: wantsPage = false, ...settings } = options
  const config = configOf(settings)
  // without a prefix, a path that nobody has is the host's to answer
  const notFound = fastify.prefix !== ''
  // where the host listens is its own to know
  const hostNames = config.ALLOWED_HOSTS.length > 0 ? config.ALLOWED_HOSTS : undefined
  const { close } = await install(fastify, config, new Metrics(), { notFound, hostNames })
  fastify.addHook('preClose', async () => {
    const late = new Promise<void>(resolve => setTimeout(resolve, config.DRAIN_SECONDS * 1000).unref())
    await Promise.race([fastify.drain.begin(), late])
  })
  fastify.addHook('onClose', close)
  if (wantsDocs) await fastify.register(docs)
  if (wantsPage) await fastify.register(page)
}
