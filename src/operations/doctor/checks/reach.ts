import { sqlState } from '../../../database/database-errors.ts'
import { type Check, fail, type Finding, ok, warn } from '../check.ts'

const SLOW_MS = 1_000

/** Whether a database answers, and may be written. */
export const REACH: Check = {
  name: 'reach',
  on: 'database',
  looksAt: 'Whether the database answers, how quickly, and whether it is the one that takes writes.',
  why: 'Nothing works without it.',
  async examine({ connectedInMs, isStandby }) {
    if (isStandby)
      return [
        fail(
          'This server is a standby: it follows another one and takes no writes.',
          'Every write fails.',
          'Let the address name the primary, or all servers with a proxy that knows which one it is.',
        ),
      ]
    const says = `It answers within ${Math.round(connectedInMs)} ms.`
    if (connectedInMs < SLOW_MS) return [ok(says)]
    return [
      warn(
        says,
        'Opening a connection takes long; requests wait for that when the load rises.',
        'Look at the way there: name resolution, TLS, a proxy, or a server that is overloaded.',
      ),
    ]
  },
}

/** What it means that a database could not be reached. */
export function explainUnreachable(error: unknown, variable: string | undefined): Finding {
  const message = (error as Error).message
  const where = variable ?? 'the embedded server'
  const means = 'Nothing works without it.'
  const state = sqlState(error) ?? ''
  if (state === '53300')
    return fail(
      `The server accepts no more connections: ${message}.`,
      'All that max_connections allows are open; requests fail.',
      'Stop a process, lower the sizes of the pools, or raise max_connections and restart the server.',
    )
  if (state.startsWith('28'))
    return fail(
      `It does not let us in: ${message}.`,
      means,
      `Correct the user or password of ${where}, or pg_hba.conf.`,
    )
  if (state === '3D000')
    return fail(`The database does not exist: ${message}.`, means, `Create it, or correct ${where}.`)
  if (state.startsWith('57P'))
    return fail(
      `It does not serve: ${message}.`,
      means,
      'It is starting, stopping or recovering: look into its log.',
    )
  return fail(
    `It does not answer: ${message || (error as NodeJS.ErrnoException).code}.`,
    means,
    variable === undefined
      ? 'Start it with `nomaly start`.'
      : `See that the server runs, that ${variable} names it, and that no firewall is between.`,
  )
}
