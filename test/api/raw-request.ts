import { request } from 'node:http'
import { connect } from 'node:net'

/** A request that is sent as it is, however wrong. */
export interface RawRequest {
  readonly method: string
  /** As it stands in the request line. */
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly body?: Uint8Array | undefined
}

export interface RawAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** Sends a request and reads the answer; of a stream of events only the beginning. */
export async function sendRaw(url: string, { method, path, headers, body }: RawRequest): Promise<RawAnswer> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(body.length) }
    const options = { hostname, port, method, path, headers: { ...headers, ...length }, timeout: 5_000 }
    const sent = request(options, (response) => {
      const chunks: Buffer[] = []
      const done = (): void =>
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          text: Buffer.concat(chunks).toString(),
        })
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        if (response.headers['content-type'] !== 'text/event-stream') return
        done()
        response.destroy()
      })
      response.on('end', done)
      response.on('error', reject)
    })
    sent.on('timeout', () => sent.destroy(new Error(`${method} ${path} was not answered in time`)))
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Sends bytes on a connection of their own; ends it from this side after a while, where asked to. */
export async function sendBytes(
  url: string,
  bytes: Uint8Array,
  options: { endsAfterMs?: number } = {},
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => {
      socket.write(bytes)
      if (options.endsAfterMs !== undefined) setTimeout(() => socket.destroy(), options.endsAfterMs)
    })
    const chunks: Buffer[] = []
    socket.setTimeout(5_000, () => socket.destroy(new Error('no answer came in time')))
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on(
      'error',
      (error: NodeJS.ErrnoException) =>
        error.code !== 'ECONNRESET' && error.code !== 'EPIPE' && reject(error),
    )
    socket.on('close', () => {
      const [head = '', text = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n')
      const [first = '', ...lines] = head.split('\r\n')
      const headers = Object.fromEntries(
        lines.map((line) => [line.split(':')[0]!.toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
      )
      resolve({ status: Number(first.split(' ')[1]), headers, text })
    })
  })
}
