import { userInfo } from 'node:os'
import { loadConfig } from '../config/load.ts'
import { findDatabaseUrls } from '../operations/connection-urls.ts'
import { openStore } from '../store/open-store.ts'
import type { Store } from '../store/store.ts'
import { note } from './output.ts'

/** Does an operator's work on the database of an installation itself, whether its server runs or not. */
export async function withOperatorStore<T>(work: (store: Store, actor: string) => Promise<T>): Promise<T> {
  const config = loadConfig()
  const { applicationUrl } = await findDatabaseUrls(config)
  await using store = await openStore(config, applicationUrl, note)
  return await work(store, operatorActor())
}

/** Who works here, for the audit log. */
export function operatorActor(): string {
  return `operator:${accountName()}`
}

function accountName(): string {
  try {
    return userInfo().username
  } catch {
    // An account without a name, as in many containers.
    return 'unknown'
  }
}
