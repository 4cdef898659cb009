import { existsSync } from 'node:fs'
import { type BrowserContext, chromium } from 'playwright-core'

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]
// A quiet browser: nothing but the page under measurement asks for anything.
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Where a Chromium of this machine is, or `undefined`. */
export function findChromium(): string | undefined {
  return PLACES.find((path) => existsSync(path))
}

/** Starts a headless browser with a fresh profile in `profileDirectory`. */
export async function openBrowser(executablePath: string, profileDirectory: string): Promise<BrowserContext> {
  return chromium.launchPersistentContext(profileDirectory, { executablePath, headless: true, args: FLAGS })
}
