import { compareMigrations, type MigrationSet } from '../../../database/migration-files.ts'
import { countText } from '../amounts.ts'
import { type Check, fail, ok } from '../check.ts'
import type { ExaminedDatabase } from '../examined-database.ts'

export const MIGRATIONS: Check = {
  name: 'migrations',
  on: 'database',
  looksAt: 'Whether the schema is that of this version: nothing missing, nothing changed, nothing newer.',
  why: 'A process of another version than the schema does wrong things, or none.',
  async examine(database) {
    const { missing, changed, unknown } = await compareMigrations(setsOf(database), database.ask)
    const facts = { missing, changed, unknown }
    if (unknown.length > 0)
      return [
        fail(
          `It has ${countText(unknown.length, 'migration')} that this version does not know, such as ${unknown[0]}.`,
          'A newer version of Nomaly has used this database: this one does not start on it.',
          'Install that version, or a later one, on every machine.',
          facts,
        ),
      ]
    if (changed.length > 0)
      return [
        fail(
          `${changed[0]} was changed after it had been applied.`,
          'What the schema is cannot be known any more; a start is refused.',
          'Reinstall Nomaly: its files differ from those that made this database.',
          facts,
        ),
      ]
    if (missing.length > 0)
      return [
        fail(
          `${countText(missing.length, 'migration')} ${missing.length === 1 ? 'has' : 'have'} not been applied: ${missing.slice(0, 3).join(', ')}${missing.length > 3 ? ', …' : ''}.`,
          'Processes of this version find tables missing.',
          'Run `nomaly migrate`, or `nomaly start`, which does so.',
          facts,
        ),
      ]
    return [ok('The schema is that of this version.', facts)]
  },
}

function setsOf({ holds, usesTimescale }: ExaminedDatabase): MigrationSet[] {
  const metrics: MigrationSet[] = [
    'metrics-partitioned',
    ...(usesTimescale ? ['metrics-timescale' as const] : []),
  ]
  if (holds === 'core') return ['core']
  return holds === 'metrics' ? metrics : ['core', ...metrics]
}
