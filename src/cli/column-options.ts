import { Option, type Command } from 'commander'
import type { ColumnOverrides } from '../ingestion/column-plan.ts'
import type { PointFormat } from '../ingestion/parsed-points.ts'

export interface ColumnFlags {
  readonly format?: PointFormat
  readonly timeColumn?: string
  readonly valueColumn?: string[]
  readonly tagColumn?: string[]
  readonly metricColumn?: string
}

/** Adds the options that say how a file is to be read, where recognising it is not enough. */
export function withColumnOptions(command: Command): Command {
  const collect = (value: string, before: string[] = []): string[] => [...before, value]
  return command
    .addOption(
      new Option('-f, --format <format>', 'format of the file; told from its content unless given').choices([
        'csv',
        'ndjson',
        'json',
      ]),
    )
    .option('--time-column <column>', 'CSV: column that says when, by header or number from 1')
    .option('--value-column <column>', 'CSV: column of numbers to watch; repeat it for several', collect)
    .option('--tag-column <column>', 'CSV: column that tells series apart; repeat it for several', collect)
    .option('--metric-column <column>', 'CSV: column that names the metric of each row')
}

export function columnOverrides(flags: ColumnFlags): ColumnOverrides {
  return {
    ...(flags.timeColumn === undefined ? {} : { time: flags.timeColumn }),
    ...(flags.valueColumn === undefined ? {} : { values: flags.valueColumn }),
    ...(flags.tagColumn === undefined ? {} : { tags: flags.tagColumn }),
    ...(flags.metricColumn === undefined ? {} : { metric: flags.metricColumn }),
  }
}
