/**
 * Several sockets that listen on one port. The event loop takes one connection a turn from each: from one socket a thousand
 * that come at once wait for a thousand turns, which under load are long.
 */
import type { Server as HttpServer } from 'node:http'
import { type AddressInfo, createServer, type ListenOptions, Server } from 'node:net'
import type { FastifyInstance } from 'fastify'

/** Sockets beside the first. */
const MORE = 63

export interface Door {
  host: string
  port: number
  backlog: number
}

/**
 * All sockets that listen for the application, its server's own first: as many as the system lets share the port. The further ones
 * end when it closes, if they have not before.
 */
export async function listen(fastify: FastifyInstance, door: Door): Promise<Server[]> {
  const options = await firstOf(door)
  await fastify.listen(options)
  const further = await furtherOf(fastify.server, options)
  fastify.server.once('close', () => {
    for (const server of further) server.close()
  })
  return [fastify.server, ...further]
}

/** How the first socket listens: others may join it where the system lets them. Fails where somebody listens there already. */
export async function firstOf(door: Door): Promise<ListenOptions> {
  if (!(await mayShare(door))) return door
  // the sockets of two servers would share the port, and its connections: nobody may be there. The system takes a free one itself
  if (door.port !== 0) await close(await listening(createServer(), door))
  return { ...door, reusePort: true }
}

/** The further ones of a server that listens so. Their connections are the server's. */
export async function furtherOf(server: HttpServer, options: ListenOptions): Promise<Server[]> {
  if (!options.reusePort) return []
  const { port } = server.address() as AddressInfo
  const hand = (socket: unknown) => server.emit('connection', socket)
  return Promise.all(
    Array.from({ length: MORE }, () =>
      listening(createServer({ allowHalfOpen: true, noDelay: true }, hand), { ...options, port }),
    ),
  )
}

/** Whether this system, and this Node, let sockets share a port: Linux, from Node 22.12 and 23.1 on. */
async function mayShare({ host }: Door): Promise<boolean> {
  if (process.platform !== 'linux') return false
  const [first, second] = [createServer(), createServer()]
  try {
    await listening(first, { host, port: 0, reusePort: true })
    await listening(second, { host, port: (first.address() as AddressInfo).port, reusePort: true })
    return true
  } catch {
    return false
  } finally {
    await Promise.all([first, second].map(close))
  }
}

function listening(server: Server, options: ListenOptions): Promise<Server> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(options, () => {
      server.off('error', reject)
      resolve(server)
    })
  })
}

function close(server: Server): Promise<void> {
  return new Promise(resolve => {
    if (server.listening) Server.prototype.close.call(server, () => resolve())
    else resolve()
  })
}
