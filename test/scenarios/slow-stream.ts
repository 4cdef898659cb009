import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const BYTES_AT_ONCE = 16_384

/** Stands before a server and hands on what clients send piece by piece, a millisecond for each: what is being copied stays so for a while. */
export async function startSlowStream(port: number): Promise<AsyncDisposable & { readonly port: number }> {
  const open = new Set<Socket>()
  const listener = createServer((client) => {
    const server = connect(port, '127.0.0.1')
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      open.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        open.delete(socket)
        other.destroy()
      })
    }
    server.pipe(client)
    void handOn(client, server).catch(() => server.destroy())
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  return {
    port: (listener.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy()
      listener.close()
      await once(listener, 'close')
    },
  }
}

async function handOn(client: Socket, server: Socket): Promise<void> {
  for await (const chunk of client as AsyncIterable<Buffer>)
    for (let start = 0; start < chunk.length; start += BYTES_AT_ONCE) {
      server.write(chunk.subarray(start, start + BYTES_AT_ONCE))
      if (chunk.length > BYTES_AT_ONCE) await sleep(1)
    }
  server.end()
}
