import { createHash, createHmac, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Who may use the server. */
export const S3_LOGIN = { accessKeyId: 'AKIDTEST', secretAccessKey: 'secret/with+signs' }

const REGION = 'eu-test-1'
const LIST_PAGE = 3

/**
 * A storage that speaks enough of S3 for backups, in memory. It checks each signature and the hash of each body by itself (Amazon S3 API
 * Reference, Authenticating Requests: Using the Authorization Header), lists in small pages, and can be told to fail.
 */
export class S3Server implements AsyncDisposable {
  readonly files = new Map<string, Buffer>()
  readonly requests: string[] = []
  readonly bucket = 'backups'
  readonly region = REGION
  /** How many of the next requests are answered with 503. */
  failures = 0
  /** Answers 507 to everything that stores something. */
  isFull = false
  readonly #uploads = new Map<string, Map<number, Buffer>>()
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(): Promise<S3Server> {
    const server = createServer()
    const made = new S3Server(server)
    server.on('request', (request, response) => void made.#answer(request, response))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return made
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Uploads in parts that nobody ended. */
  get openUploads(): number {
    return this.#uploads.size
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const body = Buffer.concat(parts)
    const url = new URL(request.url!, this.endpoint)
    this.requests.push(`${request.method} ${request.url}`)
    if (this.failures > 0) {
      this.failures--
      return void response.writeHead(503).end('<Error><Code>SlowDown</Code></Error>')
    }
    const wrong = signatureFault(request, url, body)
    if (wrong !== undefined) return void response.writeHead(403).end(`<Error><Code>${wrong}</Code></Error>`)
    if (this.isFull && request.method === 'PUT')
      return void response.writeHead(400).end('<Error><Code>QuotaExceeded</Code></Error>')
    const [, bucket, ...rest] = url.pathname.split('/').map(decodeURIComponent)
    if (bucket !== this.bucket)
      return void response.writeHead(404).end('<Error><Code>NoSuchBucket</Code></Error>')
    const [status, answer, headers] = this.#do(request.method!, rest.join('/'), url.searchParams, body)
    response.writeHead(status, headers).end(answer)
  }

  #do(
    method: string,
    key: string,
    query: URLSearchParams,
    body: Buffer,
  ): [number, (string | Buffer)?, Record<string, string>?] {
    const uploadId = query.get('uploadId')
    if (method === 'GET' && key === '') return [200, this.#list(query)]
    if (method === 'GET') {
      const file = this.files.get(key)
      return file === undefined ? [404, '<Error><Code>NoSuchKey</Code></Error>'] : [200, file]
    }
    if (method === 'PUT' && uploadId !== null) {
      this.#uploads.get(uploadId)!.set(Number(query.get('partNumber')), body)
      return [200, '', { etag: `"${createHash('md5').update(body).digest('hex')}"` }]
    }
    if (method === 'PUT') {
      this.files.set(key, body)
      return [200]
    }
    if (method === 'POST' && query.has('uploads')) {
      const id = randomUUID()
      this.#uploads.set(id, new Map())
      return [
        200,
        `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
      ]
    }
    if (method === 'POST' && uploadId !== null) return this.#complete(key, uploadId, body.toString('utf8'))
    if (method === 'DELETE' && uploadId !== null) {
      this.#uploads.delete(uploadId)
      return [204]
    }
    if (method === 'DELETE') {
      this.files.delete(key)
      return [204]
    }
    return [405]
  }

  #complete(key: string, uploadId: string, list: string): [number, string] {
    const parts = this.#uploads.get(uploadId)!
    const named = [...list.matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>"([0-9a-f]+)"<\/ETag>/g)]
    const bodies = named.map(([, number, tag]) => {
      const part = parts.get(Number(number))
      return part !== undefined && createHash('md5').update(part).digest('hex') === tag ? part : undefined
    })
    if (bodies.some((body) => body === undefined) || named.length !== parts.size)
      return [200, '<Error><Code>InvalidPart</Code></Error>']
    this.files.set(key, Buffer.concat(bodies as Buffer[]))
    this.#uploads.delete(uploadId)
    return [200, '<CompleteMultipartUploadResult></CompleteMultipartUploadResult>']
  }

  #list(query: URLSearchParams): string {
    const prefix = query.get('prefix') ?? ''
    const after = query.get('continuation-token') ?? ''
    const names = [...this.files.keys()].filter((name) => name.startsWith(prefix) && name > after).toSorted()
    const page = names.slice(0, Number(query.get('max-keys') ?? LIST_PAGE))
    const more =
      names.length > page.length ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : ''
    const entries = page.map(
      (name) => `<Contents><Key>${name}</Key><Size>${this.files.get(name)!.length}</Size></Contents>`,
    )
    return `<ListBucketResult>${entries.join('')}${more}</ListBucketResult>`
  }
}

/** What is wrong with the signature of a request; `undefined` where it is right. */
function signatureFault(request: IncomingMessage, url: URL, body: Buffer): string | undefined {
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      request.headers.authorization ?? '',
    )
  if (match === null) return 'AccessDenied'
  const [, id, day, region, signedHeaders, signature] = match
  if (id !== S3_LOGIN.accessKeyId || region !== REGION) return 'InvalidAccessKeyId'
  const payload = String(request.headers['x-amz-content-sha256'])
  if (payload !== createHash('sha256').update(body).digest('hex')) return 'XAmzContentSHA256Mismatch'
  const names = signedHeaders!.split(';')
  if (!names.includes('host') || !names.includes('x-amz-content-sha256')) return 'AccessDenied'
  const headers = names.map((name) => `${name}:${String(request.headers[name]).trim()}\n`).join('')
  const escape = (text: string): string =>
    encodeURIComponent(text).replaceAll(
      /[!'()*]/g,
      (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`,
    )
  const query = [...url.searchParams]
    .map(([name, value]) => `${escape(name)}=${escape(value)}`)
    .toSorted()
    .join('&')
  const path = url.pathname.split('/').map(decodeURIComponent).map(escape).join('/')
  const canonical = [request.method, path, query, headers, signedHeaders, payload].join('\n')
  const scope = `${day}/${region}/s3/aws4_request`
  const time = String(request.headers['x-amz-date'])
  const text = ['AWS4-HMAC-SHA256', time, scope, createHash('sha256').update(canonical).digest('hex')].join(
    '\n',
  )
  const sign = (key: string | Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest()
  const secret = `AWS4${S3_LOGIN.secretAccessKey}`
  const key = [day!, region, 's3', 'aws4_request'].reduce<string | Buffer>(sign, secret)
  return sign(key, text).toString('hex') === signature ? undefined : 'SignatureDoesNotMatch'
}
