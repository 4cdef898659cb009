import type { LiveSettings } from '../flags/live-settings.ts'
import type { Logger } from '../telemetry/logger.ts'

/** Lets a process log what the live setting says, now and from each change on. */
export function followLogLevel(logger: Logger, settings: LiveSettings): void {
  logger.level = settings.values.logLevel
  settings.onChange((option) => {
    if (option === 'logLevel') logger.level = settings.values.logLevel
  })
}
