// A program that asks Nomaly for a feature flag through the standard SDK, and hears of its changes.
//
//   nomaly flags create greeting --type string --variant plain=Hello --variant warm="Good morning" --default plain --on
//   NOMALY_URL=http://127.0.0.1:8420 NOMALY_API_KEY=… node examples/feature-flags.ts
//   nomaly flags rollout greeting 50% --variant warm
import { OpenFeature, ProviderEvents } from '@openfeature/server-sdk'
// In a program of yours: import { NomalyProvider } from 'nomaly'
import { NomalyProvider } from '../src/index.ts'

const { NOMALY_URL: url = 'http://127.0.0.1:8420', NOMALY_API_KEY: apiKey = '' } = process.env
const USERS = ['ann', 'bob', 'cleo', 'dan']

await OpenFeature.setProviderAndWait(NomalyProvider.overHttp({ url, apiKey }))
const flags = OpenFeature.getClient()

async function greetEverybody(): Promise<void> {
  for (const user of USERS) {
    // Evaluated here, from rules that were fetched before: no request is made.
    const greeting = await flags.getStringValue('greeting', 'Hi', { targetingKey: user })
    console.log(`${greeting}, ${user}!`)
  }
}

flags.addHandler(ProviderEvents.ConfigurationChanged, (details) => {
  console.log(`changed: ${details?.flagsChanged?.join(', ')}`)
  void greetEverybody()
})
await greetEverybody()

process.once('SIGTERM', () => void OpenFeature.close())
process.once('SIGINT', () => void OpenFeature.close())
