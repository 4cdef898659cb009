import { invalidField } from '../../../errors.ts'

/** What the configuration file of pgBackRest says of one cluster. */
export interface PgbackrestSettings {
  readonly stanza: string
  /** A folder, or `s3://bucket/prefix`. */
  readonly repository: string
  /** Encrypts everything in the repository (aes-256-cbc). */
  readonly cipherPass: string
  readonly keepFull: number
  /** As `name=value`; they win over the generated ones. */
  readonly extra: readonly string[]
  /** For locks, and what is on its way. */
  readonly workFolder: string
  readonly dataDirectory: string
  readonly port: number
  readonly socketFolder: string
  readonly user: string
  readonly database: string
}

/** The text of a configuration file of pgBackRest; it holds the key and what S3 asks for. */
export function renderConfig(settings: PgbackrestSettings): string {
  const { repository, cipherPass, keepFull, workFolder } = settings
  const global = new Map<string, string>([
    ...repositoryOptions(repository),
    ['repo1-cipher-type', 'aes-256-cbc'],
    ['repo1-cipher-pass', cipherPass],
    ['repo1-retention-full', String(keepFull)],
    // Pieces of a file that did not change are not stored again; and what is stored is read back soon.
    ['compress-type', 'zst'],
    ['start-fast', 'y'],
    ['lock-path', workFolder],
    ['log-path', workFolder],
    ['spool-path', workFolder],
    ['log-level-file', 'off'],
    ['log-level-console', 'warn'],
  ])
  for (const option of settings.extra) global.set(...parseOption(option))
  return [
    '# Written by Nomaly at each backup; changes here are lost. It holds secrets.',
    '[global]',
    ...[...global].map(line),
    '',
    `[${settings.stanza}]`,
    ...(
      [
        ['pg1-path', settings.dataDirectory],
        ['pg1-port', String(settings.port)],
        ['pg1-socket-path', settings.socketFolder],
        ['pg1-user', settings.user],
        ['pg1-database', settings.database],
      ] as const
    ).map(line),
    '',
  ].join('\n')
}

/** Splits `a=1 b=2`, or a line each, into its options. @throws NomalyError `invalid_input`. */
export function splitOptions(text: string | undefined): string[] {
  const options = (text ?? '').split(/\s+/).filter((option) => option !== '')
  for (const option of options) parseOption(option)
  return options
}

function repositoryOptions(repository: string): [string, string][] {
  if (!repository.startsWith('s3://')) return [['repo1-path', repository]]
  const { hostname, pathname } = new URL(repository)
  return [
    ['repo1-type', 's3'],
    ['repo1-s3-bucket', hostname],
    ['repo1-path', pathname === '' || pathname === '/' ? '/nomaly' : pathname.replace(/\/$/, '')],
  ]
}

function parseOption(option: string): [string, string] {
  const [, name, value] = /^([a-z][a-z0-9-]*)=(\S*)$/.exec(option) ?? []
  if (name === undefined || value === undefined)
    throw invalidField(
      'NOMALY_PGBACKREST_OPTIONS',
      `has "${option.split('=')[0]!.slice(0, 40)}", which is no name=value`,
    )
  return [name, value]
}

function line([name, value]: readonly [string, string]): string {
  // A line break would be another option.
  if (/[\r\n]/.test(value)) throw invalidField(name, 'has a line break')
  return `${name}=${value}`
}
