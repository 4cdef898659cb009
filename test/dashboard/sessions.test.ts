import { expect, test } from 'vitest'
import { CHROMIUM, startBrowser } from '../support/browser.ts'
import { startTestNomaly } from '../support/nomaly.ts'

const FIREFOX = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0'

if (CHROMIUM === undefined)
  console.warn('skipped: this machine has no chromium (Debian: apt-get install chromium)')

test.skipIf(CHROMIUM === undefined)(
  'the settings show who is signed in; one is signed out there, and then all',
  async () => {
    await using nomaly = await startTestNomaly({ worker: false })
    const link = async (): Promise<string> => (await nomaly.request('POST', '/v1/sign-in-links')).body.path
    const signInElsewhere = async (): Promise<() => Promise<number>> => {
      const { headers } = await nomaly.request('GET', await link(), {
        key: '',
        headers: { 'user-agent': FIREFOX },
      })
      const cookie = headers.getSetCookie()[0]!.split(';')[0]!
      return async () => (await nomaly.request('GET', '/v1/me', { key: '', headers: { cookie } })).status
    }
    await using browser = await startBrowser()
    const page = await browser.context.newPage()
    await page.goto(nomaly.url + (await link()))
    const one = await signInElsewhere()
    expect(await one()).toBe(200)

    await page.goto(`${nomaly.url}/settings`)
    const row = page.getByRole('listitem').filter({ hasText: 'Firefox on Windows' })
    await row.waitFor()
    await page
      .getByRole('listitem')
      .filter({ hasText: 'this browser' })
      .filter({ hasText: 'Chrome' })
      .waitFor()
    await row.getByRole('button', { name: 'Sign it out' }).click()
    await row.waitFor({ state: 'detached' })
    expect(await one()).toBe(401)

    const another = await signInElsewhere()
    expect(await another()).toBe(200)
    await page.getByRole('button', { name: 'Sign out everywhere' }).click()
    await page.getByText('nomaly link').first().waitFor()
    expect(await another()).toBe(401)
  },
  60_000,
)
