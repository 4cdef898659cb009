import { type Check, type Finding, ok, warn } from '../check.ts'

interface LogSettings {
  readonly statements: string
  readonly slowMs: number
  readonly sampleMs: number
  readonly parameterLength: number
}

export const LOG_PRIVACY: Check = {
  name: 'log-privacy',
  on: 'server',
  looksAt: 'log_statement, and the logging of slow statements with their values.',
  why: 'The log of a server is read by more people, and kept longer, than what stands in the tables.',
  async examine({ ask }) {
    const [row] = await ask<LogSettings>(
      `select current_setting('log_statement') as statements,
         (select setting::int4 from pg_settings where name = 'log_min_duration_statement') as "slowMs",
         (select setting::int4 from pg_settings where name = 'log_min_duration_sample') as "sampleMs",
         (select setting::int4 from pg_settings where name = 'log_parameter_max_length') as "parameterLength"`,
    )
    const found: Finding[] = []
    if (['all', 'mod'].includes(row!.statements))
      found.push(
        warn(
          `log_statement is ${row!.statements}.`,
          'Statements go to the log with the passwords and the data that stand in them.',
          'Set log_statement = none (or ddl) and reload; delete or lock away the logs written so far.',
        ),
      )
    if ((row!.slowMs >= 0 || row!.sampleMs >= 0) && row!.parameterLength !== 0)
      found.push(
        warn(
          'Slow statements are logged by the server, with the values of their parameters.',
          'What tenants store goes to the log.',
          'Set log_parameter_max_length = 0 and reload; NOMALY_SLOW_STATEMENT_MS logs slow statements without values.',
        ),
      )
    return found.length > 0 ? found : [ok('Statements and their values stay out of the log.', { ...row })]
  },
}
