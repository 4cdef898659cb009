import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config/profiles.ts'
import { NomalyError } from '../errors.ts'

/** The name of the login that the application uses on the embedded server. */
export const APPLICATION_LOGIN = 'nomaly'

/** The same server as `adminUrl`, for another login. Carries the password: never log it. */
export function urlForLogin(adminUrl: string, user: string, password: string): string {
  const url = new URL(adminUrl)
  url.username = user
  url.password = password
  return url.href
}

/**
 * How an operator's command reaches the database of an installation that is running.
 * @throws NomalyError `unavailable` where it is the embedded one and does not run.
 */
export async function findDatabaseUrls(
  config: Config,
): Promise<{ adminUrl: string; applicationUrl: string }> {
  if (config.databaseUrl !== undefined)
    return { adminUrl: config.adminDatabaseUrl ?? config.databaseUrl, applicationUrl: config.databaseUrl }
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
