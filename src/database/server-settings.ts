/** What settings are measured by. */
export interface Machine {
  /** Memory that may be used, of the machine or of its control group, in bytes. */
  readonly memoryBytes: number
  readonly processors: number
}

/** The machine as one server finds it. */
export interface Footing extends Machine {
  /** Whether memory and processors are this server's alone; else the product and everything else on the machine live on them too. */
  readonly isOwn: boolean
  readonly maxConnections: number
}

/** One line of postgresql.conf. */
export interface ServerSetting {
  readonly name: string
  /** As PostgreSQL reads it, without quotes: `256MB`, `on`, `-1`. */
  readonly value: string
  /** In a few words. */
  readonly why: string
}

const MIB = 1024 * 1024

/** What an acknowledged write rests on. */
export const DURABLE_SETTINGS: readonly ServerSetting[] = [
  { name: 'fsync', value: 'on', why: 'what was acknowledged survives a loss of power' },
  {
    name: 'synchronous_commit',
    value: 'on',
    why: 'a commit is acknowledged only when it is on disk, and on the synchronous standbys where there are some',
  },
  { name: 'full_page_writes', value: 'on', why: 'a page half written when power failed can be repaired' },
]

/** What keeps values out of the server's log: they are private, and may be secrets. */
export const DISCREET_SETTINGS: readonly ServerSetting[] = [
  { name: 'log_statement', value: 'none', why: 'the text of a statement may hold what is private' },
  { name: 'log_duration', value: 'off', why: 'a line for every statement says nothing that is looked for' },
  {
    name: 'log_min_duration_statement',
    value: '-1',
    why: 'the application logs its slow statements itself, without their values (NOMALY_SLOW_STATEMENT_MS)',
  },
  {
    name: 'log_min_error_statement',
    value: 'panic',
    why: 'a statement that failed may hold what is private, too',
  },
]

/** How the memory is shared out (PostgreSQL manual, 19.4 Resource Consumption and 19.7 Query Planning). */
export function memorySettings(footing: Footing): ServerSetting[] {
  const mib = footing.memoryBytes / MIB
  return footing.isOwn ? ownMemory(mib, footing.maxConnections) : sharedMemory(mib)
}

function ownMemory(mib: number, maxConnections: number): ServerSetting[] {
  const buffers = mib < 1024 ? mib / 8 : mib / 4
  return [
    {
      name: 'shared_buffers',
      value: megabytes(Math.max(16, buffers)),
      why: "a quarter of memory, an eighth below 1 GB; the system's cache has the rest",
    },
    {
      name: 'effective_cache_size',
      value: megabytes(mib * 0.75),
      why: 'three quarters of memory: what may be cached; allocates nothing',
    },
    {
      name: 'work_mem',
      value: megabytes(clamp(mib / 4 / maxConnections, 4, 64)),
      why: 'each sort or hash: a quarter of memory over all connections, from 4 to 64 MB',
    },
    {
      name: 'maintenance_work_mem',
      value: megabytes(clamp(mib / 16, 32, 1024)),
      why: 'index builds and vacuum: a sixteenth of memory, up to 1 GB',
    },
  ]
}

function sharedMemory(mib: number): ServerSetting[] {
  return [
    {
      name: 'shared_buffers',
      value: megabytes(clamp(mib / 32, 16, 128)),
      why: "a 32nd of memory up to 128 MB; the system's own page cache does the rest",
    },
    {
      name: 'effective_cache_size',
      value: megabytes(mib / 2),
      why: 'what the planner may expect in the page cache; allocates nothing',
    },
    {
      name: 'work_mem',
      value: mib < 2048 ? '4MB' : '8MB',
      why: 'each sort or hash; times connections it must stay far below memory',
    },
    {
      name: 'maintenance_work_mem',
      value: mib < 2048 ? '32MB' : '64MB',
      why: 'index builds and vacuum',
    },
  ]
}

/** How many processors one query, and all of them, may take. */
export function parallelSettings({ processors, isOwn }: Footing): ServerSetting[] {
  const all = isOwn ? processors : clamp(processors - 1, 0, 4)
  const each = isOwn ? clamp(Math.floor(processors / 2), 0, 4) : Math.min(2, all)
  return [
    {
      name: 'max_parallel_workers',
      value: String(all),
      why: isOwn ? 'as many as there are processors' : 'one processor stays free for everything else',
    },
    {
      name: 'max_parallel_workers_per_gather',
      value: String(each),
      why: isOwn ? 'half of them, at most four: one query leaves room for others' : 'the same',
    },
    { name: 'max_parallel_maintenance_workers', value: String(each), why: 'the same' },
  ]
}

/** A value as it stands in postgresql.conf or after `alter system set … =`. */
export function quoteSetting(value: string): string {
  const isPlain = /^-?\d+(?:\.\d+)?(?:kB|MB|GB|ms|s|min|h|d)?$/.test(value) || /^[a-z][a-z_]*$/.test(value)
  return isPlain ? value : `'${value.replaceAll("'", "''")}'`
}

/** Lines of postgresql.conf, each with its reason. */
export function settingLines(settings: readonly ServerSetting[]): string[] {
  const lines = settings.map(({ name, value, why }) => [`${name} = ${quoteSetting(value)}`, why] as const)
  const width = Math.max(...lines.map(([line]) => line.length))
  return lines.map(([line, why]) => `${line.padEnd(width)} # ${why}`)
}

function megabytes(mib: number): string {
  return `${Math.round(mib)}MB`
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value))
}
