import type { Role } from '../access/roles.ts'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import type { Committed, Position } from '../database/position.ts'
import { auditSession, type EndedSessions, type Ending, endSessions } from './end-sessions.ts'
import type { FoundSession, Session } from './session-store.ts'

/** What a new session is made of. */
export interface NewSession {
  readonly linkHash: Buffer
  readonly secretHash: Buffer
  readonly device: string
  readonly lifetimeMs: number
  /** The session that this browser had. */
  readonly replaces: Session | undefined
  readonly limit: number
}

export interface CreatedSession {
  readonly session: Session
  /** Those that had to make room. */
  readonly ended: readonly EndedSessions[]
}

interface Link {
  readonly tenant_id: string
  readonly role: Role
  readonly key_id: string | null
}

interface Row {
  readonly id: string
  readonly number: string
  readonly tenant_id: string
  readonly tenant_name: string
  readonly key_id: string | null
  readonly role: Role
  readonly created_at: Date
  readonly last_seen_at: Date
  readonly expires_at: Date
  readonly generation: number
  readonly rotated_at: Date
}

const COLUMNS = `s.id, s.number, s.tenant_id, t.name as tenant_name, s.key_id, s.role, s.created_at, s.last_seen_at, s.expires_at,
  s.generation, s.rotated_at`
const SYSTEM = { role: 'nomaly_system' } as const

/** The sessions as PostgreSQL has them: the truth, whatever quickens it. */
export class SessionTable {
  readonly #database: Database
  readonly #now: () => number

  constructor(database: Database, now: () => number) {
    this.#database = database
    this.#now = now
  }

  /** The session of a secret. That the newest one is used for the first time is noted: from then on the former one's time runs out. */
  async find(secretHash: Buffer): Promise<FoundSession | undefined> {
    const [row] = await this.#database.read({ ...SYSTEM, freshness: 'latest' }, (connection) =>
      connection.query<Row & { secret: FoundSession['secret']; confirmed_at: Date | null }>(
        `select ${COLUMNS}, s.confirmed_at,
           case when s.token_hash = $1 then 'current' when s.former_hash = $1 then 'former' else 'lapsed' end as secret
         from nomaly.sessions s join nomaly.tenants t on t.id = s.tenant_id
         where s.token_hash = $1 or s.former_hash = $1 or s.lapsed_hash = $1`,
        [secretHash],
      ),
    )
    if (row === undefined) return undefined
    let confirmedAtMs = row.confirmed_at?.getTime()
    if (confirmedAtMs === undefined && row.secret === 'current') {
      confirmedAtMs = this.#now()
      await this.#write(
        'update nomaly.sessions set confirmed_at = $2, last_seen_at = $2 where token_hash = $1 and confirmed_at is null',
        [secretHash, new Date(confirmedAtMs)],
      )
    }
    return { session: toSession(row), secret: row.secret, confirmedAtMs }
  }

  /**
   * Uses a link up and begins a session with it; the oldest ones of the same key end where there are too many.
   * @returns `undefined` where the link is unknown, used or expired.
   */
  async create(wanted: NewSession): Promise<Committed<CreatedSession | undefined>> {
    const now = new Date(this.#now())
    return this.#database.transaction(SYSTEM, async (connection) => {
      const [link] = await connection.query<Link & Record<string, unknown>>(
        `update nomaly.sign_in_links set used_at = now()
         where token_hash = $1 and used_at is null and expires_at > now() returning tenant_id, role, key_id`,
        [wanted.linkHash],
      )
      if (link === undefined) return undefined
      const scope = { tenantId: link.tenant_id }
      // One sign-in of a key at a time, so that they are counted rightly.
      await connection.query('select pg_advisory_xact_lock(hashtextextended($1, 4207310012))', [
        `${link.tenant_id} ${link.key_id}`,
      ])
      const ended: EndedSessions[] = []
      for (const { id: subject, reason } of await findSurplus(connection, link, wanted, now)) {
        const ending = { kind: 'session', subject, actor: 'browser', reason } as const
        const one = await endSessions(connection, scope, ending)
        if (one !== undefined) ended.push(one)
      }
      const [row] = await connection.query<Row & Record<string, unknown>>(
        `with s as (
           insert into nomaly.sessions
             (tenant_id, key_id, role, device, created_at, last_seen_at, rotated_at, confirmed_at, expires_at, token_hash)
           values ($1, $2, $3, $4, $5, $5, $5, $5, $6, $7) returning *)
         select ${COLUMNS} from s join nomaly.tenants t on t.id = s.tenant_id`,
        [
          link.tenant_id,
          link.key_id,
          link.role,
          wanted.device,
          now,
          new Date(now.getTime() + wanted.lifetimeMs),
          wanted.secretHash,
        ],
      )
      const session = toSession(row!)
      await auditSession(connection, scope, {
        actor: 'browser',
        action: 'browser.sign-in',
        kind: 'session',
        subject: session.id,
        detail: { key: link.key_id, device: wanted.device },
      })
      return { session, ended }
    })
  }

  /**
   * Gives a session a new secret, if nobody has done so since it was read.
   * @param secretHash the newest one, or the one before while the newest was never used.
   */
  async rotate(session: Session, secretHash: Buffer, newHash: Buffer): Promise<boolean> {
    const rows = await this.#write(
      `update nomaly.sessions set
         lapsed_hash = case when token_hash = $2 then null else token_hash end,
         former_hash = $2, token_hash = $3, generation = generation + 1, rotated_at = $5, last_seen_at = $5, confirmed_at = null
       where id = $1 and generation = $4 and (token_hash = $2 or (former_hash = $2 and confirmed_at is null))
       returning id`,
      [session.id, secretHash, newHash, session.generation, new Date(this.#now())],
    )
    return rows.length > 0
  }

  /** Notes when a session was last used. */
  async noteUse(session: Session): Promise<void> {
    await this.#write('update nomaly.sessions set last_seen_at = $2 where id = $1 and last_seen_at < $2', [
      session.id,
      new Date(session.seenAtMs),
    ])
  }

  /** Ends sessions of a tenant before their time; `undefined` where there was nothing to end. */
  async end(scope: TenantScope, ending: Ending): Promise<EndedSessions | undefined> {
    const { value } = await this.#database.transaction(SYSTEM, async (connection) => {
      if (ending.kind !== 'session')
        await connection.query(
          `delete from nomaly.sign_in_links
           where tenant_id = $1 and used_at is null and ($2 = 'tenant' or key_id is not distinct from $3)`,
          [scope.tenantId, ending.kind, ending.subject],
        )
      return endSessions(connection, scope, ending)
    })
    return value
  }

  /** Removes what has expired, and revocations that nothing could come back to. */
  async prune(idleMs: number): Promise<void> {
    const now = this.#now()
    await this.#write('delete from nomaly.sessions where expires_at < $1 or last_seen_at < $2', [
      new Date(now),
      new Date(now - idleMs),
    ])
    await this.#write(`delete from nomaly.session_revocations where kept_until < now()`, [])
    await this.#write(`delete from nomaly.sign_in_links where expires_at < now() - interval '1 day'`, [])
  }

  /** See {@link SessionStore.keepPosition}. */
  async keepPosition(session: Session, { systemId, timeline, lsn }: Position): Promise<void> {
    await this.#write(
      `update nomaly.sessions set read_after = read_after || jsonb_build_object($2::text, $3::text)
       where id = $1 and not coalesce(
         split_part(read_after ->> $2, '.', 1) = split_part($3, '.', 1)
         and split_part(read_after ->> $2, '.', 2)::pg_lsn >= split_part($3, '.', 2)::pg_lsn, false)`,
      [session.id, systemId, `${timeline}.${lsn}`],
    )
  }

  /** See {@link SessionStore.positions}. */
  async positions(session: Session): Promise<Position[]> {
    const [row] = await this.#database.read({ ...SYSTEM, freshness: 'latest' }, (connection) =>
      connection.query<{ read_after: Record<string, string> }>(
        'select read_after from nomaly.sessions where id = $1',
        [session.id],
      ),
    )
    return Object.entries(row?.read_after ?? {}).map(([systemId, text]) => {
      const [timeline, lsn] = text.split('.') as [string, string]
      return { systemId, timeline: Number(timeline), lsn }
    })
  }

  async #write(text: string, values: readonly unknown[]): Promise<unknown[]> {
    const { value } = await this.#database.transaction(SYSTEM, (connection) => connection.query(text, values))
    return value
  }
}

/** The session that this browser had, and the oldest ones, so that one more is within the limit. */
async function findSurplus(
  connection: Connection,
  link: Link,
  { limit, replaces }: NewSession,
  now: Date,
): Promise<{ id: string; reason: string }[]> {
  const former = replaces?.tenantId === link.tenant_id ? replaces.id : null
  const rows = await connection.query<{ id: string }>(
    `select id from nomaly.sessions
     where tenant_id = $1 and key_id is not distinct from $2 and expires_at > $3 and id is distinct from $4
     order by number desc offset $5`,
    [link.tenant_id, link.key_id, now, former, limit - 1],
  )
  const surplus = rows.map(({ id }) => ({ id, reason: 'too many' }))
  return former === null ? surplus : [{ id: former, reason: 'signed in anew' }, ...surplus]
}

function toSession(row: Row): Session {
  return {
    id: row.id,
    number: Number(row.number),
    tenantId: row.tenant_id,
    tenantName: row.tenant_name,
    keyId: row.key_id ?? undefined,
    role: row.role,
    createdAtMs: row.created_at.getTime(),
    seenAtMs: row.last_seen_at.getTime(),
    notedAtMs: row.last_seen_at.getTime(),
    expiresAtMs: row.expires_at.getTime(),
    generation: row.generation,
    rotatedAtMs: row.rotated_at.getTime(),
  }
}
