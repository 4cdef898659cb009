import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { urlForLogin } from '../config/database-url.ts'
import type { Config } from '../config/profiles.ts'
import { NomalyError } from '../errors.ts'

export { urlForLogin }

/** The name of the login that the application uses on the embedded server. */
export const APPLICATION_LOGIN = 'nomaly'

/**
 * How an operator's command reaches the database of an installation that is running.
 * @throws NomalyError `unavailable` where it is the embedded one and does not run.
 */
export async function findDatabaseUrls(
  config: Config,
): Promise<{ adminUrl: string; applicationUrl: string }> {
  const { databaseUrl, adminDatabaseUrl, directDatabaseUrl } = config
  if (databaseUrl !== undefined)
    return { adminUrl: adminDatabaseUrl ?? directDatabaseUrl ?? databaseUrl, applicationUrl: databaseUrl }
  try {
    const read = (...path: string[]): Promise<string> => readFile(join(config.dataDirectory, ...path), 'utf8')
    const { port } = JSON.parse(await read('postgres-port.json')) as { port: number }
    const password = (await read('secrets', 'postgres-password')).trim()
    const adminUrl = `postgresql://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`
    const applicationPassword = (await read('secrets', 'application-password')).trim()
    return { adminUrl, applicationUrl: urlForLogin(adminUrl, APPLICATION_LOGIN, applicationPassword) }
  } catch (error) {
    throw new NomalyError('unavailable', 'There is no database here.', {
      hint: 'Start it with `nomaly start`, or set DATABASE_URL.',
      cause: error,
    })
  }
}
