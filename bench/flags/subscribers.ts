// A process with subscribers to flags, started by the benchmark.
import { loadConfig } from '../../src/config/load.ts'
import { openStore } from '../../src/store/open-store.ts'
import { machineMs, type SubscribersMessage, type SubscribersOptions } from './messages.ts'

const { databaseUrl, tenantId, flag, subscribers } = JSON.parse(process.argv[2]!) as SubscribersOptions
const config = loadConfig({ NOMALY_DATABASE_POOL_SIZE: '4', NOMALY_DATABASE_POOL_OVERFLOW: '0' })
await using store = await openStore(config, databaseUrl, (line) => console.error(line))
const seen: number[][] = Array.from({ length: subscribers }, () => [])
for (const times of seen)
  store.flags.onChange(() => {
    const value = Number(store.flags.evaluate(tenantId, flag, {}).value)
    const now = machineMs()
    // Values that were passed over, since a later one was there already, are seen with that.
    while (times.length < value) times.push(now)
  })
await say({ kind: 'ready' })
const { promise: told, resolve } = Promise.withResolvers<void>()
process.once('message', () => void say({ kind: 'seen', atMs: seen }).then(resolve))
process.once('disconnect', resolve)
await told
process.disconnect()

/** Comes back when it is sent: a channel that is closed earlier loses what is on its way. */
function say(message: SubscribersMessage): Promise<void> {
  return new Promise((sent, reject) => {
    process.send!(message, (error: Error | null) => (error === null ? sent() : reject(error)))
  })
}
