import type { Executor } from '../database/connection.ts'
import { cursorKey, decodeCursor, type Page, type PageRequest, toPage } from '../database/paging.ts'
import { NomalyError } from '../errors.ts'
import { formatNotification, NOTIFICATION_CHANNEL } from '../notifications/notifier.ts'

export type Noun = 'flag' | 'setting'

/** What holds under a key now. */
export interface Entry<T> {
  readonly key: string
  /** From 1, one more with each change. */
  readonly version: number
  /** `undefined`: removed. */
  readonly value: T | undefined
  readonly changedAt: Date
  readonly changedBy: string
}

/** One state that a key has had. */
export interface EntryVersion<T> extends Omit<Entry<T>, 'key'> {
  /** The version whose value this one has taken again. */
  readonly revertedTo: number | null
  readonly note: string
}

/** Who changes something, why, and what they have seen. */
export interface ChangeNote {
  readonly actor: string
  readonly note?: string | undefined
  /** The version that the change was made up for; another one meanwhile, and nothing is changed. */
  readonly ifVersion?: number | undefined
}

/** What a change makes of what was there. */
export interface Edit<T> {
  /** For the audit log: `update` and the like. */
  readonly action: string
  readonly value: T | undefined
  readonly revertedTo?: number
}

interface EntryRow {
  readonly key: string
  readonly version: number
  readonly value: unknown
  readonly changed_at: Date
  readonly changed_by: string
}

interface VersionRow extends EntryRow {
  readonly reverted_to: number | null
  readonly note: string
}

const MAX_NOTE = 2_000

/** Flags or settings of a tenant, or of the installation, with all their versions; every change is noted in the audit log and told to all processes. */
export class VersionedEntries<T> {
  readonly #run: Executor
  readonly #tenantId: string | undefined
  readonly #noun: Noun

  /** @param tenantId `undefined` for the installation, which takes the role `nomaly_system`. */
  constructor(run: Executor, tenantId: string | undefined, noun: Noun) {
    this.#run = run
    this.#tenantId = tenantId
    this.#noun = noun
  }

  /** Those that are there, by key. */
  async list(page: PageRequest): Promise<Page<Entry<T>>> {
    const [after] = page.cursor === undefined ? [''] : decodeCursor(page.cursor, [cursorKey.name])
    const rows = await this.#query<EntryRow>(
      `select key, version, value, changed_at, changed_by from nomaly.live_entries
       where ${this.#owner} and value is not null and key > $3 collate "C" order by key collate "C" limit $4`,
      [after, page.limit + 1],
    )
    return toPage(rows, page.limit, toEntry<T>, ({ key }) => [key])
  }

  async count(): Promise<number> {
    const [row] = await this.#query<{ count: number }>(
      `select count(*)::int as count from nomaly.live_entries where ${this.#owner} and value is not null`,
    )
    return row!.count
  }

  /** What holds now, removed or not; `undefined` for what never was. */
  async find(key: string): Promise<Entry<T> | undefined> {
    const [row] = await this.#query<EntryRow>(
      `select key, version, value, changed_at, changed_by from nomaly.live_entries where ${this.#owner} and key = $3`,
      [key],
    )
    return row && toEntry<T>(row)
  }

  /** Every version, newest first, with the value of the one before each. */
  async history(
    key: string,
    page: PageRequest,
  ): Promise<Page<EntryVersion<T> & { readonly before: T | undefined }>> {
    const [below] =
      page.cursor === undefined ? [2_147_483_647] : decodeCursor(page.cursor, [cursorKey.integer])
    const rows = await this.#query<VersionRow & { before: unknown }>(
      `select v.key, v.version, v.value, v.reverted_to, v.note, v.changed_at, v.changed_by, b.value as before
       from nomaly.live_versions v
       left join nomaly.live_versions b
         on b.tenant_id is not distinct from v.tenant_id and b.noun = v.noun and b.key = v.key and b.version = v.version - 1
       where ${ownerOf('v.', this.#tenantId)} and v.key = $3 and v.version < $4
       order by v.version desc limit $5`,
      [key, Math.min(below, 2_147_483_647), page.limit + 1],
    )
    return toPage(
      rows,
      page.limit,
      (row) => ({ ...toVersion<T>(row), before: (row.before ?? undefined) as T | undefined }),
      ({ version }) => [version],
    )
  }

  async version(key: string, version: number): Promise<EntryVersion<T> | undefined> {
    const [row] = await this.#query<VersionRow>(
      `select key, version, value, reverted_to, note, changed_at, changed_by from nomaly.live_versions
       where ${this.#owner} and key = $3 and version = $4`,
      [key, version],
    )
    return row && toVersion<T>(row)
  }

  /**
   * Changes what holds under a key, one at a time: `edit` sees what is there while nobody else can change it.
   * @throws NomalyError `precondition_failed` where another version is there than the change was made up for.
   */
  async change(
    key: string,
    { actor, note = '', ifVersion }: ChangeNote,
    edit: (current: Entry<T> | undefined) => Edit<T> | Promise<Edit<T>>,
  ): Promise<Entry<T>> {
    if (note.length > MAX_NOTE)
      throw new NomalyError('invalid_input', `note must be at most ${MAX_NOTE} characters.`, {
        problems: [{ field: 'note', reason: `must be at most ${MAX_NOTE} characters` }],
      })
    const [locked] = await this.#query<EntryRow>(
      `select key, version, value, changed_at, changed_by from nomaly.live_entries
       where ${this.#owner} and key = $3 for update`,
      [key],
    )
    const current = locked && toEntry<T>(locked)
    if (ifVersion !== undefined && ifVersion !== (current?.version ?? 0)) throw changedMeanwhile(key, current)
    const { action, value, revertedTo } = await edit(current)
    const json = value === undefined ? null : JSON.stringify(value)
    const written = [key, json, actor]
    const [row] = await this.#query<EntryRow>(
      current === undefined
        ? `insert into nomaly.live_entries (tenant_id, noun, key, version, value, changed_by) values ($1, $2, $3, 1, $4, $5)
           on conflict do nothing returning key, version, value, changed_at, changed_by`
        : `update nomaly.live_entries set version = version + 1, value = $4, changed_by = $5, changed_at = now()
           where ${this.#owner} and key = $3 returning key, version, value, changed_at, changed_by`,
      written,
    )
    if (row === undefined) throw changedMeanwhile(key, undefined)
    await this.#query(
      `with version as (
         insert into nomaly.live_versions (tenant_id, noun, key, version, value, reverted_to, note, changed_at, changed_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)),
       audited as (
         insert into nomaly.audit_log (tenant_id, actor, action, subject_kind, subject_id, detail)
         values ($1, $9, $10, $2, $3, $11))
       select pg_notify($12, $13)`,
      [
        key,
        row.version,
        json,
        revertedTo ?? null,
        note,
        row.changed_at,
        actor,
        `${this.#noun}.${action}`,
        JSON.stringify({
          version: row.version,
          ...(note === '' ? {} : { note }),
          ...(revertedTo === undefined ? {} : { revertedTo }),
        }),
        NOTIFICATION_CHANNEL,
        formatNotification({ channel: 'flags', tenantId: this.#tenantId ?? '', id: '' }),
      ],
    )
    return toEntry<T>(row)
  }

  get #owner(): string {
    return ownerOf('', this.#tenantId)
  }

  #query<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return this.#run((connection) =>
      connection.query<Row & Record<string, unknown>>(text, [this.#tenantId ?? null, this.#noun, ...values]),
    )
  }
}

/** Whose rows; an index answers `is null`, and no `is not distinct from`. */
function ownerOf(table: '' | 'v.', tenantId: string | undefined): string {
  const owner =
    tenantId === undefined ? `${table}tenant_id is null and $1::uuid is null` : `${table}tenant_id = $1::uuid`
  return `${owner} and ${table}noun = $2::text`
}

function toEntry<T>(row: EntryRow): Entry<T> {
  return {
    key: row.key,
    version: row.version,
    value: (row.value ?? undefined) as T | undefined,
    changedAt: row.changed_at,
    changedBy: row.changed_by,
  }
}

function toVersion<T>(row: VersionRow): EntryVersion<T> {
  const { key: _, ...entry } = toEntry<T>(row)
  return { ...entry, revertedTo: row.reverted_to, note: row.note }
}

function changedMeanwhile(key: string, current: Entry<unknown> | undefined): NomalyError {
  const now = current === undefined ? 'another version' : `version ${current.version}`
  return new NomalyError('precondition_failed', `"${key}" was changed by somebody else: it has ${now} now.`, {
    hint: 'Read it again, and make the change to what it is now.',
  })
}
