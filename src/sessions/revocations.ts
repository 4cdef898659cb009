import type { Database } from '../database/database.ts'
import { NomalyError } from '../errors.ts'
import { REVOCATION_BOUND_MS, type Session } from './session-store.ts'

/** What ended sessions before their time: one, those of a key (or of links printed at the start), or those of a tenant. */
export interface Revocation {
  /** It ends what has a smaller number. */
  readonly number: number
  readonly tenantId: string
  readonly kind: 'session' | 'key' | 'tenant'
  readonly subject: string | null
}

/** Older knowledge than this is renewed beside the request that finds it so. */
const RENEW_MS = 2_000
/** So that those which are over leave the memory too. */
const WHOLE_EVERY_MS = 3_600_000

/**
 * The revocations of an installation in the memory of this process. PostgreSQL is their truth, and they commit in the order of their numbers:
 * what is new is one short read, made when a notice comes, and before a session is accepted on knowledge that is older than the bound.
 */
export class Revocations {
  readonly #database: Database
  readonly #clock: () => number
  readonly #log: (message: string) => void
  #known = new Map<string, number>()
  #newest: Revocation | undefined
  /** When the reading that this is known from began. */
  #asOfMs = Number.NEGATIVE_INFINITY
  #wholeAsOfMs = Number.NEGATIVE_INFINITY
  #reading: Promise<void> | undefined
  #next: Promise<void> | undefined
  /** Learnt while a reading is under way, which may have missed it. */
  #learnt: Revocation[] = []

  /** @param clock monotonic milliseconds. */
  constructor(database: Database, log: (message: string) => void, clock: () => number) {
    this.#database = database
    this.#log = log
    this.#clock = clock
  }

  /**
   * Whether a session was ended before its time, as far as was known no longer than the bound ago.
   * @throws NomalyError `unavailable` where that cannot be found out.
   */
  async cover(session: Session): Promise<boolean> {
    if (this.#ageMs > REVOCATION_BOUND_MS) await this.#reading
    if (this.#ageMs > REVOCATION_BOUND_MS) await this.renew()
    else if (this.#ageMs > RENEW_MS && this.#reading === undefined)
      this.renew().catch((error: Error) => this.#log(`Ended sessions could not be read: ${error.message}`))
    return this.#covers(session)
  }

  get #ageMs(): number {
    return this.#clock() - this.#asOfMs
  }

  /** Takes in what this process itself has committed. */
  learn(revocation: Revocation): void {
    if (this.#reading !== undefined) this.#learnt.push(revocation)
    this.#add(revocation)
  }

  #add(revocation: Revocation): void {
    const key = keyOf(revocation)
    this.#known.set(key, Math.max(revocation.number, this.#known.get(key) ?? 0))
  }

  /** Reads what is new; what was committed before the call is known after it. */
  renew(): Promise<void> {
    if (this.#reading === undefined) {
      this.#reading = this.#read().finally(() => {
        this.#reading = undefined
        this.#learnt = []
      })
      return this.#reading
    }
    // The one under way may have looked already.
    this.#next ??= this.#reading
      .catch(() => {})
      .then(() => {
        this.#next = undefined
        return this.renew()
      })
    return this.#next
  }

  /** Waits for the readings that are under way: whoever acts on the notice that began them finds what it told of. */
  async settle(): Promise<void> {
    await (this.#next ?? this.#reading)?.catch(() => {})
  }

  /** Accepts nothing before it has been read again. */
  distrust(): void {
    this.#asOfMs = Number.NEGATIVE_INFINITY
    this.#wholeAsOfMs = Number.NEGATIVE_INFINITY
  }

  async #read(): Promise<void> {
    const startedMs = this.#clock()
    const newest = startedMs - this.#wholeAsOfMs > WHOLE_EVERY_MS ? undefined : this.#newest
    const rows = await this.#select(newest?.number ?? 0)
    // The last one that is known is read again: where it is another one or gone, the database is not the one it was.
    if (newest !== undefined && !isSame(newest, rows[0])) {
      this.#wholeAsOfMs = Number.NEGATIVE_INFINITY
      return this.#read()
    }
    if (newest === undefined) {
      this.#known = new Map()
      this.#wholeAsOfMs = startedMs
    }
    for (const revocation of [...rows, ...this.#learnt]) this.#add(revocation)
    this.#newest = rows.at(-1) ?? newest
    this.#asOfMs = startedMs
  }

  async #select(from: number): Promise<Revocation[]> {
    const reading = this.#database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
      connection.query<Row & Record<string, unknown>>(
        'select number, tenant_id, kind, subject from nomaly.session_revocations where number >= $1 order by number',
        [from],
      ),
    )
    const rows = await withDeadline(reading)
    return rows.map(({ number, tenant_id: tenantId, kind, subject }) => ({
      number: Number(number),
      tenantId,
      kind,
      subject,
    }))
  }

  #covers({ id, number, tenantId, keyId }: Session): boolean {
    return [
      { tenantId, kind: 'session', subject: id } as const,
      { tenantId, kind: 'key', subject: keyId ?? null } as const,
      { tenantId, kind: 'tenant', subject: null } as const,
    ].some((what) => (this.#known.get(keyOf(what)) ?? 0) > number)
  }
}

interface Row {
  readonly number: string
  readonly tenant_id: string
  readonly kind: Revocation['kind']
  readonly subject: string | null
}

/** A connection on which nothing moves any more must not hold up those who come after. */
async function withDeadline<T>(reading: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_, reject) => {
    const late = new NomalyError('unavailable', 'The database does not answer.', { retryAfterSeconds: 2 })
    timer = setTimeout(() => reject(late), REVOCATION_BOUND_MS)
  })
  try {
    return await Promise.race([reading, deadline])
  } finally {
    clearTimeout(timer)
    reading.catch(() => {})
  }
}

function keyOf({ tenantId, kind, subject }: Omit<Revocation, 'number'>): string {
  return kind === 'session' ? subject! : `${kind} ${tenantId} ${subject ?? ''}`
}

function isSame(one: Revocation, other: Revocation | undefined): boolean {
  return other !== undefined && one.number === other.number && keyOf(one) === keyOf(other)
}
