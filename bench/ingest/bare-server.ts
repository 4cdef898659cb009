// The limit of any HTTP ingestion in Node: Fastify alone. `POST /read` reads the body, `POST /parse` also parses each line.
// Prints its port, and ends when its input ends.
import type { Readable } from 'node:stream'
import Fastify from 'fastify'

const NEWLINE = 10
const app = Fastify({ bodyLimit: 67_108_864 })
app.removeAllContentTypeParsers()
app.addContentTypeParser('application/x-ndjson', (_request, payload, done) => done(null, payload))

app.post('/read', async (request) => {
  let bytes = 0
  for await (const chunk of request.body as Readable) bytes += (chunk as Buffer).length
  return { bytes }
})

app.post('/parse', async (request) => {
  const chunks: Buffer[] = []
  for await (const chunk of request.body as Readable) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks)
  let points = 0
  for (let start = 0; start < body.length;) {
    const end = body.indexOf(NEWLINE, start)
    const line = JSON.parse(body.toString('utf8', start, end < 0 ? body.length : end)) as { value: number }
    if (Number.isFinite(line.value)) points += 1
    start = end < 0 ? body.length : end + 1
  }
  return { points }
})

await app.listen({ host: '127.0.0.1', port: 0 })
console.log((app.server.address() as { port: number }).port)
process.stdin.resume().on('end', () => void app.close())
