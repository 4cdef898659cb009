import { access, mkdir, open, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import type { Config } from '../../config/profiles.ts'
import { adopt, explainFileError, syncFolder } from '../../database/data-folder.ts'
import { NomalyError } from '../../errors.ts'
import type { Erasure } from './erasure.ts'

const Uuid = Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' })
const Names = Type.Object({ salt: Type.String(), hashes: Type.Array(Type.String()) })
const Entry = Type.Object({
  id: Uuid,
  installationId: Uuid,
  requestedAt: Type.String(),
  subject: Type.Union([
    Type.Object({ kind: Type.Literal('tenant'), tenantId: Uuid }),
    Type.Object({
      kind: Type.Literal('user'),
      tenantId: Type.Optional(Uuid),
      keyIds: Type.Array(Uuid),
      accountIds: Type.Array(Uuid),
      inTenant: Names,
      everywhere: Names,
    }),
    Type.Object({
      kind: Type.Literal('series'),
      tenantId: Uuid,
      sources: Type.Array(Type.Object({ id: Uuid, series: Type.Array(Type.Integer()) })),
    }),
  ]),
})

/** Far more than a ledger ever has: a file that is larger is another one. */
const MAX_BYTES = 256 * 1024 * 1024

/** A copy of the ledger outside the database, which a restore from before an erasure learns of that from: one line of JSON for each. */
export class LedgerFile {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /**
   * The copy of an installation: where `NOMALY_ERASURE_LEDGER` says, else in the data folder; `undefined` where neither is there.
   */
  static async of({
    erasureLedger,
    dataDirectory,
  }: Pick<Config, 'erasureLedger' | 'dataDirectory'>): Promise<LedgerFile | undefined> {
    if (erasureLedger !== '') return new LedgerFile(erasureLedger)
    // A file alone in a folder would keep it from becoming a data folder.
    const isDataFolder = await access(join(dataDirectory, 'lock')).then(
      () => true,
      () => false,
    )
    return isDataFolder ? new LedgerFile(join(dataDirectory, 'erasures.ndjson')) : undefined
  }

  /** @throws NomalyError `conflict` where a line is none of a ledger: what it was to say would not be heeded. */
  async read(): Promise<Erasure[]> {
    const text = await this.#text()
    // What was cut off by a crash while it was written was never acted upon.
    const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n')
    return lines.flatMap((line, index) => (line === '' ? [] : [this.#parse(line, index + 1)]))
  }

  /** Adds those that are missing, and comes back when they would survive a loss of power. */
  async add(erasures: readonly Erasure[]): Promise<void> {
    const known = new Set((await this.read()).map(({ id }) => id))
    const missing = erasures.filter(({ id }) => !known.has(id))
    if (missing.length === 0) return
    const lines = missing.map(({ id, installationId, requestedAt, subject }) =>
      JSON.stringify({ id, installationId, requestedAt, subject }),
    )
    try {
      await mkdir(dirname(this.path), { recursive: true })
      await using file = await open(this.path, 'a+', 0o600)
      await adopt(dirname(this.path), this.path)
      const { size } = await file.stat()
      const whole = Buffer.byteLength(await this.#wholeLines())
      // Behind half a line the next one would be lost too.
      if (whole < size) await file.truncate(whole)
      await file.appendFile(`${lines.join('\n')}\n`)
      await file.sync()
      await syncFolder(dirname(this.path))
    } catch (error) {
      throw explainFileError(error, this.path)
    }
  }

  async #wholeLines(): Promise<string> {
    const text = await this.#text()
    return text.slice(0, text.lastIndexOf('\n') + 1)
  }

  async #text(): Promise<string> {
    try {
      const text = await readFile(this.path, 'utf8')
      if (text.length > MAX_BYTES) throw this.#unreadable('is too large')
      return text
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
      throw explainFileError(error, this.path)
    }
  }

  #parse(line: string, number: number): Erasure {
    try {
      const value: unknown = JSON.parse(line)
      if (Value.Check(Entry, value)) return value
    } catch {
      // Not even JSON.
    }
    throw this.#unreadable(`is broken in line ${number}`)
  }

  #unreadable(what: string): NomalyError {
    return new NomalyError('conflict', `The ledger of erasures ${this.path} ${what}.`, {
      hint: 'Bring a sound copy of it, such as the one beside your backups: without it a restored database could hold again what was erased.',
    })
  }
}
