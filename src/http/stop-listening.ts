/** No connection more, and none is lost: those that have been made are served on. */
import { Server } from 'node:net'

/** Turns of the event loop that it may take for one that is quick and brings no connection. */
const MOST_TURNS = 10_000
/** Of a turn that does nothing. */
const QUICK_MS = 0.1

/**
 * The system resets what it has accepted and the server has not yet taken, and proxies give a request that was sent there to nobody
 * else. So each socket ends right behind a turn of the loop that brought it no connection and did nothing: while a turn answers others, new ones
 * come. They end one by one, the last first: what comes while one ends goes to the others, and would be lost if they ended with it. HTTP's
 * own `close` would first end the connections that are idle, each at the moment in which a proxy may use it; here they stay until
 * proxies have noticed that nobody listens.
 */
export async function stopListening(servers: readonly Server[]): Promise<void> {
  let turns = 0
  for (const server of servers.toReversed()) {
    let taken = 0
    const count = () => {
      taken++
    }
    server.on('connection', count)
    let began = performance.now()
    for (let quiet = false; !quiet && turns < MOST_TURNS; turns++) {
      const before = taken
      await new Promise(setImmediate)
      const now = performance.now()
      quiet = taken === before && now - began < QUICK_MS
      began = now
    }
    Server.prototype.close.call(server)
    server.off('connection', count)
  }
}
