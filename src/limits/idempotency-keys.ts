import type { TenantScope } from '../access/tenant-scope.ts'
import type { Executor } from '../database/connection.ts'
import type { Database } from '../database/database.ts'

/** What is kept of a request that was done. */
export interface KeptAnswer {
  /** SHA-256 of what was asked. */
  readonly fingerprint: Buffer
  readonly status: number
  /** The sealed body; `undefined` where it was too large to be kept. */
  readonly body: Buffer | undefined
}

interface AnswerRow {
  readonly fingerprint: Buffer
  readonly status: number
  readonly body: Buffer | null
  readonly [column: string]: unknown
}

const PRUNE_BATCH = 10_000

/** Which requests of a tenant were done, by hash of their `Idempotency-Key`: written with what they do, in one transaction. */
export class IdempotencyKeys {
  readonly #run: Executor
  readonly #scope: TenantScope

  constructor(run: Executor, scope: TenantScope) {
    this.#run = run
    this.#scope = scope
  }

  /** What a key was used for, where it was and has not expired. */
  async find(principal: string, keyHash: Buffer): Promise<KeptAnswer | undefined> {
    const [row] = await this.#run((connection) =>
      connection.query<AnswerRow>(
        `select fingerprint, status, body from nomaly.idempotency_keys
         where tenant_id = $1 and principal = $2 and key_hash = $3 and expires_at > now()`,
        [this.#scope.tenantId, principal, keyHash],
      ),
    )
    if (row === undefined) return undefined
    return { fingerprint: row.fingerprint, status: row.status, body: row.body ?? undefined }
  }

  /**
   * Takes a key until the transaction ends, however it ends; `false` where another one has it. To be called before {@link find}, so that this
   * sees what the other one committed.
   */
  async take(keyHash: Buffer): Promise<boolean> {
    const [row] = await this.#run((connection) =>
      connection.query<{ taken: boolean }>('select pg_try_advisory_xact_lock($1) as taken', [
        String(keyHash.readBigInt64BE()),
      ]),
    )
    return row?.taken === true
  }

  /** Keeps the answer of a key that was taken. */
  async keep(principal: string, keyHash: Buffer, answer: KeptAnswer, lifetimeHours: number): Promise<void> {
    const { fingerprint, status, body } = answer
    // One that has expired may still stand there; one that has not cannot, for the key was taken.
    await this.#run((connection) =>
      connection.query(
        `insert into nomaly.idempotency_keys as kept
           (tenant_id, principal, key_hash, fingerprint, status, body, expires_at)
         values ($1, $2, $3, $4, $5, $6, now() + make_interval(hours => $7))
         on conflict (tenant_id, principal, key_hash) do update
           set fingerprint = excluded.fingerprint, status = excluded.status, body = excluded.body,
             created_at = excluded.created_at, expires_at = excluded.expires_at`,
        [this.#scope.tenantId, principal, keyHash, fingerprint, status, body ?? null, lifetimeHours],
      ),
    )
  }
}

/** Removes what has expired, some thousand at a time. */
export async function pruneIdempotencyKeys(database: Database): Promise<void> {
  for (;;) {
    const { value: gone } = await database.transaction({ role: 'nomaly_system' }, (connection) =>
      connection.query(
        `delete from nomaly.idempotency_keys where (tenant_id, principal, key_hash) in
           (select tenant_id, principal, key_hash from nomaly.idempotency_keys where expires_at < now() limit $1)
         returning 1 as gone`,
        [PRUNE_BATCH],
      ),
    )
    if (gone.length < PRUNE_BATCH) return
  }
}
