import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Config } from '../config/profiles.ts'
import { readFolderOwner } from '../database/data-folder.ts'
import { embeddedSettings } from '../database/embedded-settings.ts'
import { embeddedFooting, keepMachine, rewriteEmbeddedSettings } from '../database/embedded-tuning.ts'
import { measureMachine } from '../database/measure-machine.ts'
import type { Footing, Machine } from '../database/server-settings.ts'
import { invalidField } from '../errors.ts'
import { findDatabaseUrls } from './connection-urls.ts'
import type { ServerValue } from './tune/server-values.ts'
import { readValuesAt } from './tune/tune-server.ts'
import { explainSettings, type TunedSetting } from './tune/tuning.ts'

/** The settings of the embedded server, and what has become of them. */
export interface EmbeddedTuning {
  readonly footing: Omit<Footing, 'maxConnections'>
  readonly settings: readonly TunedSetting[]
  readonly isRunning: boolean
  /** Names of what was changed and holds now. */
  readonly applied: readonly string[]
  /** Names of what holds from the next start on. */
  readonly pending: readonly string[]
}

const RELOAD_TIMEOUT_MS = 5_000

/** The settings of the embedded server of a data folder, beside what it has now where it runs. Changes nothing. */
export async function showEmbeddedTuning(config: Config): Promise<EmbeddedTuning> {
  const footing = await embeddedFooting(config.dataDirectory)
  const settings = embeddedSettings(footing)
  const values = await readRunning(config, settings)
  const explained = explainSettings(settings, values)
  const pending = explained.filter(({ name }) => values?.get(name)?.isPending === true)
  return {
    footing,
    settings: explained,
    isRunning: values !== undefined,
    applied: [],
    pending: pending.map(({ name }) => name),
  }
}

/**
 * Settles what the embedded server may count on, writes its settings and lets it read them again where it runs. An empty machine is measured
 * at each start.
 * @throws NomalyError `unavailable` where there is no data folder yet.
 */
export async function tuneEmbedded(config: Config, machine: Partial<Machine>): Promise<EmbeddedTuning> {
  const folder = config.dataDirectory
  requireLess(machine)
  const { adminUrl } = await findDatabaseUrls(config)
  const names = embeddedSettings(await embeddedFooting(folder)).map(({ name }) => name)
  const before = await readRunning(config, embeddedSettings(await embeddedFooting(folder)))
  await keepMachine(folder, machine)
  const hasChanged = await rewriteEmbeddedSettings(folder)
  if (before === undefined) return await showEmbeddedTuning(config)
  if (hasChanged) await reload(adminUrl)
  const shown = await showEmbeddedTuning(config)
  const after = await readValuesAt(adminUrl, names)
  const applied = names.filter((name) => before.get(name)?.shown !== after.get(name)?.shown)
  return { ...shown, applied }
}

/** A server that counts on more than there is does not start, or is ended by the system when it takes it. */
function requireLess({ memoryBytes }: Partial<Machine>): void {
  if (memoryBytes === undefined || memoryBytes <= measureMachine().memoryBytes) return
  throw invalidField('--memory', 'is more than this machine has')
}

/** The values of the server of the data folder; `undefined` where it does not run. */
async function readRunning(
  config: Config,
  settings: readonly { readonly name: string }[],
): Promise<ReadonlyMap<string, ServerValue> | undefined> {
  try {
    const { adminUrl } = await findDatabaseUrls(config)
    return await readValuesAt(
      adminUrl,
      settings.map(({ name }) => name),
    )
  } catch (error) {
    // One that runs must answer; of one that does not, the file says enough.
    if ((await readFolderOwner(config.dataDirectory))?.alive === true) throw error
    return undefined
  }
}

/** Has the server read its files, and waits until a connection has seen it. */
async function reload(adminUrl: string): Promise<void> {
  const client = new pg.Client({
    connectionString: adminUrl,
    application_name: 'nomaly tune',
    connectionTimeoutMillis: RELOAD_TIMEOUT_MS,
    query_timeout: RELOAD_TIMEOUT_MS,
  })
  client.on('error', () => {})
  await client.connect()
  try {
    const loadedAt = async (): Promise<string> =>
      (await client.query<{ at: string }>('select pg_conf_load_time()::text as at')).rows[0]!.at
    const before = await loadedAt()
    await client.query('select pg_reload_conf()')
    const giveUpAt = performance.now() + RELOAD_TIMEOUT_MS
    while ((await loadedAt()) === before && performance.now() < giveUpAt) await sleep(20)
  } finally {
    await client.end()
  }
}
