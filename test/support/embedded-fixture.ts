import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { Client } from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'

import type { ServerAccount } from '../../src/database/embedded-account.ts'
import {
  startEmbeddedServer,
  type EmbeddedServer,
  type EmbeddedServerOptions,
} from '../../src/database/embedded-server.ts'
import { killServer } from './test-server.ts'

export const isRoot = process.getuid?.() === 0
export const NOBODY: ServerAccount = { uid: 65534, gid: 65534, switched: true }
export const DAEMON: ServerAccount = { uid: 1, gid: 1, switched: true }

/** What another process said of the server it started, or why it could not. */
interface Answer {
  adminUrl: string
  pid: number
  port: number
  adopted: boolean
  said: string[]
  error?: string
  hint?: string
}

/** A data folder per test, for tests of the embedded server; whatever still runs on it afterwards is killed. */
export interface EmbeddedFixture {
  /** Temporary folder, anybody may pass through. */
  readonly parent: string
  /** The data folder in it, not made yet. */
  folder: string
  readonly directory: string
  readonly port: number
  /** Processes to kill afterwards. */
  readonly children: ChildProcess[]
  /** Copies a data folder that was started once before: much faster than making one. */
  givenDatabase(): void
  start(options?: Partial<EmbeddedServerOptions>): Promise<EmbeddedServer>
  /** Another process that starts a server on the folder, as another user when asked to. */
  spawnOwner(account?: ServerAccount): Promise<{ child: ChildProcess; answer: Answer }>
}

/** Registers the hooks that make and clean a data folder for each test of a file. */
export function useEmbeddedFixture(): EmbeddedFixture {
  let made: string
  const fixture = {
    parent: '',
    folder: '',
    get directory() {
      return join(fixture.folder, 'postgres')
    },
    port: 0,
    children: [] as ChildProcess[],
    givenDatabase(): void {
      execFileSync('cp', ['-a', join(made, 'data'), fixture.folder])
    },
    start(options: Partial<EmbeddedServerOptions> = {}) {
      const { folder, port } = fixture
      return startEmbeddedServer({ dataDirectory: folder, preferredPort: port, log: () => {}, ...options })
    },
    async spawnOwner(account?: ServerAccount) {
      const script = join(import.meta.dirname, 'embedded-owner.ts')
      const child = spawn(process.execPath, [script, fixture.folder, String(fixture.port)], {
        stdio: ['pipe', 'pipe', 'inherit'],
        env: { HOME: fixture.parent, PATH: '/usr/bin:/bin' },
        ...(account === undefined ? {} : { uid: account.uid, gid: account.gid }),
      })
      fixture.children.push(child)
      const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
      return { child, answer: JSON.parse(line) as Answer }
    },
  }

  beforeAll(async () => {
    made = await mkdtemp(join(tmpdir(), 'nomaly-made-'))
    await chmod(made, 0o711)
    const server = await startEmbeddedServer({
      dataDirectory: join(made, 'data'),
      preferredPort: 19_000,
      log: () => {},
    })
    await server.stop()
    await rm(join(made, 'data', 'postgres-port.json'))
  })
  beforeEach(async () => {
    fixture.parent = await mkdtemp(join(tmpdir(), 'nomaly-embedded-'))
    await chmod(fixture.parent, 0o711)
    fixture.folder = join(fixture.parent, 'data')
    fixture.port = 20_000 + Math.floor(Math.random() * 12_000)
  })
  afterEach(async () => {
    for (const child of fixture.children.splice(0)) child.kill('SIGKILL')
    await killServer(await readlink(fixture.directory).catch(() => fixture.directory))
    await rm(fixture.parent, { recursive: true, force: true })
  })
  afterAll(async () => {
    await rm(made, { recursive: true, force: true })
  })
  return fixture
}

/** The rows of one statement, on a connection of its own. */
export async function ask<Row>(url: string, text: string): Promise<Row[]> {
  const client = new Client({ connectionString: url })
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.query(text)).rows as Row[]
  } finally {
    await client.end().catch(() => {})
  }
}

/** Kills a process with -9 and waits for its end. */
export async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}
