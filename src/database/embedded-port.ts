import { readFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'

import { NomalyError } from '../errors.ts'
import { writePrivateFile } from './data-folder.ts'

const HOST = '127.0.0.1'
const TRIES = 200

/** Free ports to try, best first: the one this data folder used last, then `preferredPort` and those after it. */
export async function* freePorts(folder: string, preferredPort: number): AsyncGenerator<number> {
  const recorded = await recordedPort(folder, preferredPort)
  if (recorded !== undefined && (await isFree(recorded))) yield recorded
  for (let port = preferredPort; port < Math.min(preferredPort + TRIES, 65536); port++) {
    if (port !== recorded && (await isFree(port))) yield port
  }
  throw new NomalyError(
    'unavailable',
    `No port from ${preferredPort} on is free for the embedded PostgreSQL server.`,
    {
      hint: 'End what listens there, or prefer another port.',
    },
  )
}

/** Remembers the port for the next start that prefers the same one. */
export async function recordPort(folder: string, preferred: number, port: number): Promise<void> {
  await writePrivateFile(join(folder, 'postgres-port.json'), `${JSON.stringify({ preferred, port })}\n`)
}

async function recordedPort(folder: string, preferredPort: number): Promise<number | undefined> {
  try {
    const record = JSON.parse(await readFile(join(folder, 'postgres-port.json'), 'utf8')) as Record<
      string,
      unknown
    >
    // Somebody who now prefers another port means it.
    return record['preferred'] === preferredPort && Number.isInteger(record['port'])
      ? Number(record['port'])
      : undefined
  } catch {
    return undefined
  }
}

/** Whether nothing listens on the port, on 127.0.0.1 or on all addresses. */
async function isFree(port: number): Promise<boolean> {
  const bindable = await new Promise<boolean>((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: HOST, exclusive: true }, () => server.close(() => resolve(true)))
  })
  if (!bindable) return false
  // Some systems let one bind an address under a listener on all addresses.
  return await new Promise<boolean>((resolve) => {
    const socket = connect({ port, host: HOST })
    socket.once('error', () => resolve(true))
    socket.once('connect', () => {
      socket.destroy()
      resolve(false)
    })
  })
}
