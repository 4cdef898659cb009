import type { Config } from '../../config/profiles.ts'
import { Database } from '../../database/database.ts'
import { NomalyError } from '../../errors.ts'
import { openStore } from '../../store/open-store.ts'
import { findDatabaseUrls } from '../connection-urls.ts'
import type { Member } from './cluster-view.ts'
import { urlForMember } from './member-url.ts'
import { PatroniClient } from './patroni-client.ts'
import { type DrillOptions, type DrillReport, runDrill } from './run-drill.ts'
import { runSwitchover, type SwitchoverOptions, type SwitchoverReport } from './run-switchover.ts'

/** @throws NomalyError `invalid_input` where the configuration names no cluster. */
export function openPatroni(config: Pick<Config, 'patroniUrls'>): PatroniClient {
  if (config.patroniUrls === undefined)
    throw new NomalyError('invalid_input', 'It is not known where Patroni is.', {
      hint: 'Set NOMALY_PATRONI_URLS, for example to https://user:password@host1:8008,host2:8008.',
      problems: [{ field: 'NOMALY_PATRONI_URLS', reason: 'is not set' }],
    })
  return new PatroniClient(config.patroniUrls)
}

/** Runs a drill on the cluster of an installation, with a store of its own. */
export async function drillInstallation(
  config: Config,
  options: Omit<DrillOptions, 'store' | 'patroni' | 'openStraight'>,
  log: (message: string) => void,
): Promise<DrillReport> {
  const patroni = openPatroni(config)
  const { applicationUrl } = await findDatabaseUrls(config)
  await using store = await openStore(config, applicationUrl, log)
  const openStraight = (leader: Member): Database => openMember(config, applicationUrl, leader)
  return await runDrill({ ...options, store, patroni, openStraight })
}

/** A small pool to one member itself. */
export function openMember(
  config: Pick<Config, 'statementTimeoutMs' | 'commitTimeoutMs'>,
  databaseUrl: string,
  member: Member,
): Database {
  return new Database({
    url: urlForMember(databaseUrl, member),
    applicationName: 'nomaly drill',
    maxConnections: 2,
    acquireTimeoutMs: 2_000,
    statementTimeoutMs: config.statementTimeoutMs,
    commitTimeoutMs: config.commitTimeoutMs,
    // Its leader dies: that its connections break is what the drill is about.
    log: () => {},
  })
}

/** Runs a switchover of the cluster of an installation, with a store of its own. */
export async function switchInstallation(
  config: Config,
  options: Omit<SwitchoverOptions, 'store' | 'patroni' | 'databaseUrl'>,
  log: (message: string) => void,
): Promise<SwitchoverReport> {
  const patroni = openPatroni(config)
  const { applicationUrl } = await findDatabaseUrls(config)
  await using store = await openStore(config, applicationUrl, log)
  const databaseUrl = config.directDatabaseUrl ?? applicationUrl
  return await runSwitchover({ ...options, store, patroni, databaseUrl })
}
