import { durationText } from '../amounts.ts'
import { type Check, fail, ok, warn } from '../check.ts'

/** When the last release of a major version comes (postgresql.org/support/versioning). */
const LAST_RELEASES: Readonly<Record<number, string>> = {
  15: '2027-11-11',
  16: '2028-11-09',
  17: '2029-11-08',
  18: '2030-11-14',
}

const SOON_SECONDS = 180 * 86_400

export const VERSION: Check = {
  name: 'version',
  on: 'server',
  looksAt: 'The major version of PostgreSQL, and how long it gets releases.',
  why: 'The product needs 15 or newer; without releases, holes stay open.',
  async examine({ ask, version, isEmbedded }, { clock }) {
    const [row] = await ask<{ label: string }>("select current_setting('server_version') as label")
    const label = `PostgreSQL ${row!.label.split(' ')[0]}`
    const major = Math.floor(version / 10_000)
    const facts = { version, major }
    if (major < 15)
      return [
        fail(
          `${label} is too old.`,
          'The product needs 15 or newer: migrations refuse it.',
          'Upgrade the server, or leave DATABASE_URL unset to use the embedded one.',
          facts,
        ),
      ]
    const last = LAST_RELEASES[major]
    if (isEmbedded || last === undefined) return [ok(`${label}.`, facts)]
    const leftSeconds = (Date.parse(last) - clock()) / 1000
    if (leftSeconds > SOON_SECONDS) return [ok(`${label}, with releases until ${last}.`, facts)]
    return [
      warn(
        leftSeconds > 0
          ? `${label} gets releases for ${durationText(leftSeconds)} more, until ${last}.`
          : `${label} has had no releases since ${last}.`,
        'Holes that are found later stay open.',
        `Upgrade to a newer major version (pg_upgrade, or a dump and restore).`,
        facts,
      ),
    ]
  },
}
