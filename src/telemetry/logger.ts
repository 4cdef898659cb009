import { pino, type Logger } from 'pino'

export type { Logger }

/** Where these stand in a log line, the value is replaced: secrets are not logged even by accident. */
const REDACTED = [
  'password',
  'secret',
  'key',
  'token',
  'url',
  '*.password',
  '*.secret',
  '*.token',
  'req.headers.authorization',
  'req.headers.cookie',
  'headers.authorization',
  'headers.cookie',
]

/** The log of the process: JSON lines on standard error. */
export function createLogger(level: string): Logger {
  return pino(
    { level, redact: REDACTED, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    process.stderr,
  )
}
