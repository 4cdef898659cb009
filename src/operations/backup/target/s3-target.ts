import { hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { AwsClient } from 'aws4fetch'
import { NomalyError } from '../../../errors.ts'
import type { BackupTarget, StoredFile } from './backup-target.ts'
import { textOf, textsOf } from './s3-answer.ts'

export interface S3Options {
  readonly bucket: string
  /** What all names begin with, with a slash at the end; or empty. */
  readonly prefix: string
  /** Of a storage that is not Amazon's. The bucket then stands in the path. */
  readonly endpoint: string | undefined
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string | undefined
  /** Files beyond this go in parts of this size, in bytes; at least 5 MiB with Amazon. */
  readonly partBytes?: number
  /** How long one request may take. */
  readonly timeoutMs?: number
}

const PART_BYTES = 16 * 1024 * 1024
const TIMEOUT_MS = 120_000
const ATTEMPTS = 5
const FIRST_PAUSE_MS = 200

interface Request {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** Below the bucket; empty for the bucket itself. */
  readonly key: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: Buffer
}

/** Backups in a bucket that speaks S3 (Amazon S3 API Reference, version 2006-03-01). */
export class S3Target implements BackupTarget {
  readonly place: string
  readonly #options: S3Options
  readonly #client: AwsClient

  constructor(options: S3Options) {
    this.#options = options
    this.place = `s3://${options.bucket}/${options.prefix}${options.endpoint === undefined ? '' : ` at ${new URL(options.endpoint).host}`}`
    this.#client = new AwsClient({
      accessKeyId: options.accessKeyId,
      secretAccessKey: options.secretAccessKey,
      ...(options.sessionToken === undefined ? {} : { sessionToken: options.sessionToken }),
      service: 's3',
      region: options.region,
      // Tried again here, where each attempt has its own time.
      retries: 0,
    })
  }

  async put(name: string, body: Buffer, signal: AbortSignal): Promise<void> {
    const key = this.#options.prefix + name
    if (body.length <= (this.#options.partBytes ?? PART_BYTES))
      await this.#ask({ method: 'PUT', key, body }, signal)
    else await this.#putInParts(key, body, signal)
  }

  async get(name: string, signal: AbortSignal): Promise<Buffer | undefined> {
    const answer = await this.#ask({ method: 'GET', key: this.#options.prefix + name }, signal, true)
    return answer
  }

  async list(prefix: string, signal: AbortSignal): Promise<StoredFile[]> {
    const files: StoredFile[] = []
    for (let after: string | undefined; ;) {
      const query = {
        'list-type': '2',
        prefix: this.#options.prefix + prefix,
        ...(after === undefined ? {} : { 'continuation-token': after }),
      }
      const answer = (await this.#ask({ method: 'GET', key: '', query }, signal))!.toString('utf8')
      for (const entry of textsOf(answer, 'Contents'))
        files.push({
          name: textOf(entry, 'Key')!.slice(this.#options.prefix.length),
          bytes: Number(textOf(entry, 'Size')),
        })
      after = textOf(answer, 'NextContinuationToken')
      if (after === undefined) return files.toSorted((a, b) => (a.name < b.name ? -1 : 1))
    }
  }

  async isEmpty(signal: AbortSignal): Promise<boolean> {
    const query = { 'list-type': '2', prefix: this.#options.prefix, 'max-keys': '1' }
    const answer = (await this.#ask({ method: 'GET', key: '', query }, signal))!
    return textsOf(answer.toString('utf8'), 'Contents').length === 0
  }

  async remove(names: readonly string[], signal: AbortSignal): Promise<void> {
    for (const name of names)
      await this.#ask({ method: 'DELETE', key: this.#options.prefix + name }, signal, true)
  }

  freeBytes(): Promise<undefined> {
    return Promise.resolve(undefined)
  }

  async #putInParts(key: string, body: Buffer, signal: AbortSignal): Promise<void> {
    const partBytes = this.#options.partBytes ?? PART_BYTES
    const begun = (await this.#ask({ method: 'POST', key, query: { uploads: '' } }, signal))!
    const uploadId = textOf(begun.toString('utf8'), 'UploadId')
    if (uploadId === undefined) throw this.#refused('POST', 'it gave no id for the upload')
    try {
      const tags: string[] = []
      for (let offset = 0, number = 1; offset < body.length; offset += partBytes, number++) {
        const part = body.subarray(offset, offset + partBytes)
        tags.push(await this.#putPart(key, { partNumber: String(number), uploadId }, part, signal))
      }
      const list = tags
        .map((tag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${tag}</ETag></Part>`)
        .join('')
      const end = Buffer.from(`<CompleteMultipartUpload>${list}</CompleteMultipartUpload>`)
      const answer = (await this.#ask({ method: 'POST', key, query: { uploadId }, body: end }, signal))!
      // This one answers 200 before it knows, and says in the body how it ended.
      if (!answer.includes('CompleteMultipartUploadResult'))
        throw this.#refused('POST', textOf(answer.toString('utf8'), 'Code') ?? 'the upload was not completed')
    } catch (error) {
      // Parts of an upload that nobody ends are paid for.
      await this.#ask(
        { method: 'DELETE', key, query: { uploadId } },
        AbortSignal.timeout(10_000),
        true,
      ).catch(() => {})
      throw error
    }
  }

  async #putPart(
    key: string,
    query: Readonly<Record<string, string>>,
    body: Buffer,
    signal: AbortSignal,
  ): Promise<string> {
    let tag: string | null = null
    await this.#ask(
      { method: 'PUT', key, query, body },
      signal,
      false,
      (headers) => (tag = headers.get('etag')),
    )
    if (tag === null) throw this.#refused('PUT', 'it gave no tag for a part')
    return tag
  }

  /** Asks until it is answered; `undefined` for what is missing, where that may be. */
  async #ask(
    request: Request,
    signal: AbortSignal,
    mayBeMissing = false,
    onHeaders?: (headers: Headers) => void,
  ): Promise<Buffer | undefined> {
    for (let attempt = 1, pauseMs = FIRST_PAUSE_MS; ; attempt++, pauseMs *= 3) {
      signal.throwIfAborted()
      let reason: unknown
      try {
        const response = await this.#send(request, signal)
        const answer = Buffer.from(await response.arrayBuffer())
        if (response.ok) {
          onHeaders?.(response.headers)
          return answer
        }
        if (response.status === 404 && mayBeMissing) return undefined
        const code = textOf(answer.toString('utf8'), 'Code') ?? `status ${response.status}`
        if (response.status < 500 && response.status !== 429) throw this.#refused(request.method, code)
        reason = code
      } catch (error) {
        if (error instanceof NomalyError || signal.aborted) throw error
        reason = error
      }
      if (attempt === ATTEMPTS) throw this.#away(reason)
      await sleep(pauseMs, undefined, { signal })
    }
  }

  #send({ method, key, query = {}, body }: Request, signal: AbortSignal): Promise<Response> {
    const { endpoint, bucket, region, timeoutMs = TIMEOUT_MS } = this.#options
    const root =
      endpoint === undefined
        ? `https://${bucket}.s3.${region}.amazonaws.com`
        : `${endpoint.replace(/\/+$/, '')}/${bucket}`
    const url = new URL(`${root}/${key.split('/').map(encodeURIComponent).join('/')}`)
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    return this.#client.fetch(url.href, {
      method,
      headers: { 'x-amz-content-sha256': hash('sha256', body ?? '') },
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      ...(body === undefined ? {} : { body: new Uint8Array(body) }),
    })
  }

  #refused(method: string, code: string): NomalyError {
    return new NomalyError('unavailable', `The storage of ${this.place} refused a ${method}: ${code}.`, {
      hint: 'Look at NOMALY_BACKUP_TARGET, NOMALY_BACKUP_S3_ENDPOINT, _REGION, _ACCESS_KEY and _SECRET_KEY, and at what that key may do in the bucket.',
    })
  }

  #away(cause: unknown): NomalyError {
    const said =
      cause instanceof Error ? ((cause.cause as Error | undefined)?.message ?? cause.message) : cause
    return new NomalyError('unavailable', `The storage of ${this.place} does not answer: ${String(said)}.`, {
      hint: 'Look at NOMALY_BACKUP_S3_ENDPOINT and the network, and try again.',
      cause,
    })
  }
}
