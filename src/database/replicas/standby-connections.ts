import type pg from 'pg'
import type { OpeningCheck } from '../connection.ts'
import { NEWEST_LSN } from '../position-query.ts'
import type { Admission } from './admission.ts'
import { parseLsn, replayedBy, type WalPoint } from './lsn.ts'
import { breakConnection, type ProbeConnection } from './probe-connection.ts'
import type { ReadGate } from './read-gate.ts'
import { HAS_RECEIVED_TIMELINE } from './received-timeline.ts'
import type { StandbyServer } from './replica-set.ts'
import type { StandbyState } from './standby.ts'

/** Tells one run of a server from every other one, wherever it runs. */
const RUN = 'extract(epoch from pg_postmaster_start_time())::text'

/** From the control file, which a standby brings up to date some minutes after a failover. */
const NOTED_TIMELINES = `(select timeline_id from pg_control_checkpoint()), (select min_recovery_end_timeline from pg_control_recovery())`

/** What a standby receives it has found to continue what it has replayed: its timeline is that one, or one that led there. */
function standbyQuery(hasReceivedTimeline: boolean): string {
  const received = hasReceivedTimeline ? 'nomaly.received_timeline()' : 'null'
  return `select ${RUN} as run, pg_is_in_recovery() as "isRecovering",
    coalesce(pg_last_wal_replay_lsn(), '0/0')::text as lsn,
    (select system_identifier::text from pg_control_system()) as "systemId",
    greatest(${NOTED_TIMELINES}, ${received}) as timeline`
}

const PRIMARY_QUERY = `select ${NEWEST_LSN} as lsn,
  substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) as timeline,
  (select system_identifier::text from pg_control_system()) as "systemId"`

interface StandbyRow extends Omit<StandbyState, 'lsn'> {
  readonly lsn: string
}

/** Asks a server that must be the primary where it stands. */
export async function askPrimary(probe: ProbeConnection): Promise<WalPoint> {
  const { lsn, timeline, systemId } = await probe.ask<{ lsn: string; timeline: string; systemId: string }>(
    PRIMARY_QUERY,
  )
  return { systemId, timeline: Number.parseInt(timeline, 16), lsn: replayedBy(parseLsn(lsn)) }
}

/** The connections to one standby: a pool `D` for reads, and one on which it is asked how far it is. */
export class StandbyConnections<D extends AsyncDisposable> implements StandbyServer, AsyncDisposable {
  readonly name: string
  readonly database: D
  readonly #probe: ProbeConnection
  readonly #inUse = new Set<pg.ClientBase>()
  /** The runs that connections lead to for as long as they last. */
  readonly #runs = new WeakMap<pg.ClientBase, string>()
  #hasReceivedTimeline = false

  constructor(name: string, database: D, probe: ProbeConnection) {
    this.name = name
    this.database = database
    this.#probe = probe
  }

  async ask(): Promise<StandbyState> {
    this.#hasReceivedTimeline ||= (await this.#probe.ask<{ has: boolean }>(HAS_RECEIVED_TIMELINE)).has
    const query = standbyQuery(this.#hasReceivedTimeline)
    return toState(await this.#probe.ask<StandbyRow & pg.QueryResultRow>(query))
  }

  /** What a read on a connection of the pool is made under. */
  gate(admission: Admission): ReadGate {
    return async (client, read) => {
      this.#inUse.add(client)
      try {
        if (admission.asksFirst) {
          const { rows } = await client.query<StandbyRow & pg.QueryResultRow>(standbyQuery(false))
          admission.found(toState(rows[0]!))
        }
        const run = this.#runs.get(client)
        if (run !== undefined) admission.admit(run)
        return await read(run === undefined ? this.#check(client, admission) : undefined)
      } finally {
        this.#inUse.delete(client)
      }
    }
  }

  /** A run is one for all snapshots, so it may be answered from any. Of a connection that no pooler leads elsewhere it is asked for once. */
  #check(client: pg.ClientBase, admission: Admission): OpeningCheck {
    return {
      statement: `select ${RUN}, pg_backend_pid()`,
      onRows: (rows) => {
        const [run, pid] = rows[0]!
        const { processID } = client as unknown as { readonly processID: number }
        if (pid === processID) this.#runs.set(client, String(run))
        admission.admit(String(run))
      },
    }
  }

  abandon(): void {
    for (const client of this.#inUse) breakConnection(client)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#probe[Symbol.asyncDispose]()
    await this.database[Symbol.asyncDispose]()
  }
}

function toState({ lsn, ...row }: StandbyRow): StandbyState {
  return { ...row, lsn: parseLsn(lsn) }
}
