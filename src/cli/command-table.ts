import type { Command } from 'commander'

/** Adds a command, with its options, examples and action, to the program. */
export type Register = (program: Command) => void

export interface CommandEntry {
  readonly group: string
  /** The line in `nomaly --help`. */
  readonly summary: string
  /** Loads the module: only the command that was asked for is, since start-up time is felt with each call. */
  readonly load: () => Promise<Register>
}

const RUN = 'Run it:'
const DATA = 'Data:'
const FIND = 'Find anomalies:'
const ADMINISTER = 'Administer:'

/** Every command by name, in the order of the help. Each module in `commands/` exports `register<Name>(program)`. */
export const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  start: {
    group: RUN,
    summary: 'start the server, with a database of its own unless DATABASE_URL is set',
    load: async () => (await import('./commands/start.ts')).registerStart,
  },
  status: {
    group: RUN,
    summary: 'say whether it runs here, where, and how it is',
    load: async () => (await import('./commands/status.ts')).registerStatus,
  },
  stop: {
    group: RUN,
    summary: 'stop the server that runs on this data folder',
    load: async () => (await import('./commands/stop.ts')).registerStop,
  },
  link: {
    group: RUN,
    summary: 'print a fresh one-time link to sign in with a browser',
    load: async () => (await import('./commands/link.ts')).registerLink,
  },
  demo: {
    group: RUN,
    summary: 'load four weeks of example data with known incidents',
    load: async () => (await import('./commands/demo.ts')).registerDemo,
  },
  detect: {
    group: FIND,
    summary: 'find anomalies in a file, without a server',
    load: async () => (await import('./commands/detect.ts')).registerDetect,
  },
  ingest: {
    group: DATA,
    summary: 'load a file into a dataset',
    load: async () => (await import('./commands/ingest.ts')).registerIngest,
  },
  backfill: {
    group: DATA,
    summary: 'load millions of old points, in parts that can be resumed',
    load: async () => (await import('./commands/backfill.ts')).registerBackfill,
  },
  import: {
    group: DATA,
    summary: 'take over what Pynomaly has on disk',
    load: async () => (await import('./commands/import.ts')).registerImport,
  },
  export: {
    group: DATA,
    summary: 'write the points of a dataset to a file',
    load: async () => (await import('./commands/export.ts')).registerExport,
  },
  datasets: {
    group: DATA,
    summary: 'list, show, create and delete datasets',
    load: async () => (await import('./commands/datasets.ts')).registerDatasets,
  },
  estimate: {
    group: DATA,
    summary: 'say what a dataset will take on disk and in memory',
    load: async () => (await import('./commands/estimate.ts')).registerEstimate,
  },
  series: {
    group: DATA,
    summary: 'list the series of a dataset',
    load: async () => (await import('./commands/series.ts')).registerSeries,
  },
  jobs: {
    group: FIND,
    summary: 'detection jobs: list, show, create, run, watch, pause, …',
    load: async () => (await import('./commands/jobs.ts')).registerJobs,
  },
  anomalies: {
    group: FIND,
    summary: 'what was found: list, show, acknowledge, dismiss, …',
    load: async () => (await import('./commands/anomalies.ts')).registerAnomalies,
  },
  detectors: {
    group: FIND,
    summary: 'detectors with settings of your own: list, create, delete',
    load: async () => (await import('./commands/detectors.ts')).registerDetectors,
  },
  webhook: {
    group: ADMINISTER,
    summary: 'the address that is called on a finding: show, set, test, remove',
    load: async () => (await import('./commands/webhook.ts')).registerWebhook,
  },
  keys: {
    group: ADMINISTER,
    summary: 'API keys: list, create, revoke',
    load: async () => (await import('./commands/keys.ts')).registerKeys,
  },
  sessions: {
    group: ADMINISTER,
    summary: 'list and sign out browsers that are signed in',
    load: async () => (await import('./commands/sessions.ts')).registerSessions,
  },
  flags: {
    group: ADMINISTER,
    summary: 'feature flags: list, create, set, roll out, revert, …',
    load: async () => (await import('./commands/flags.ts')).registerFlags,
  },
  settings: {
    group: ADMINISTER,
    summary: 'settings that change without a restart: list, set, revert, …',
    load: async () => (await import('./commands/settings.ts')).registerSettings,
  },
  tenants: {
    group: ADMINISTER,
    summary: 'tenants of this installation: list, create',
    load: async () => (await import('./commands/tenants.ts')).registerTenants,
  },
  access: {
    group: ADMINISTER,
    summary: 'database logins of tenants: grant-sql, revoke-sql, list-sql',
    load: async () => (await import('./commands/access.ts')).registerAccess,
  },
  erase: {
    group: ADMINISTER,
    summary: 'remove a tenant, a person or series for good, from files and logs too',
    load: async () => (await import('./commands/erase.ts')).registerErase,
  },
  migrate: {
    group: ADMINISTER,
    summary: 'bring the database to the schema of this version',
    load: async () => (await import('./commands/migrate.ts')).registerMigrate,
  },
  metrics: {
    group: ADMINISTER,
    summary: 'where points are kept: show, or move to the other engine',
    load: async () => (await import('./commands/metrics.ts')).registerMetrics,
  },
  deploy: {
    group: ADMINISTER,
    summary: 'write what a highly available installation needs: compose, systemd',
    load: async () => (await import('./commands/deploy.ts')).registerDeploy,
  },
  doctor: {
    group: ADMINISTER,
    summary: 'look for what is wrong, or will be, and say what to do',
    load: async () => (await import('./commands/doctor.ts')).registerDoctor,
  },
  tune: {
    group: ADMINISTER,
    summary: 'settings of PostgreSQL for this machine and role',
    load: async () => (await import('./commands/tune.ts')).registerTune,
  },
  backup: {
    group: ADMINISTER,
    summary: 'backups: create, list, verify, restore to any moment, schedule',
    load: async () => (await import('./commands/backup.ts')).registerBackup,
  },
  drill: {
    group: ADMINISTER,
    summary: 'lose the leader of the cluster on purpose, and count what became of every write',
    load: async () => (await import('./commands/drill.ts')).registerDrill,
  },
  switchover: {
    group: ADMINISTER,
    summary: 'hand the leader’s place in the cluster over, without a failed request',
    load: async () => (await import('./commands/switchover.ts')).registerSwitchover,
  },
  worker: {
    group: ADMINISTER,
    summary: 'run only the worker, for more machines than one',
    load: async () => (await import('./commands/worker.ts')).registerWorker,
  },
  config: {
    group: ADMINISTER,
    summary: 'print the settings in effect and the reference of all',
    load: async () => (await import('./commands/config.ts')).registerConfig,
  },
}
