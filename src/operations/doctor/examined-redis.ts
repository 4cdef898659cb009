import { describeRedis, parseRedisUrl } from '../../redis/address.ts'
import { openLink } from '../../redis/link.ts'
import { within } from '../../redis/within.ts'

/** A Redis that answers, and what it says of itself. */
export interface ExaminedRedis {
  /** Without user and password. */
  readonly address: string
  readonly kind: 'single' | 'sentinel' | 'cluster'
  /** Of one answer, in milliseconds. */
  readonly answeredInMs: number
  /** The fields of INFO. */
  readonly info: ReadonlyMap<string, string>
}

const PATIENCE_MS = 5_000

/** Looks at a Redis once. @throws NomalyError `invalid_input` of a wrong address; Error of the driver where it does not answer. */
export async function examineRedis(
  url: string,
  clock: () => number,
  signal: AbortSignal,
): Promise<ExaminedRedis> {
  const address = parseRedisUrl(url)
  const link = await openLink({
    address,
    clientName: 'nomaly-doctor',
    connectTimeoutMs: PATIENCE_MS,
    queueLength: 100,
    signal,
  })
  try {
    const startedMs = clock()
    await within(link.probe(), PATIENCE_MS, signal)
    const answeredInMs = clock() - startedMs
    const text = await within(link.commands.info(), PATIENCE_MS, signal)
    return { address: describeRedis(address), kind: address.kind, answeredInMs, info: readInfo(text) }
  } finally {
    link.close()
  }
}

function readInfo(text: string): Map<string, string> {
  const lines = text.split(/\r?\n/).filter((line) => line.includes(':'))
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]))
}
