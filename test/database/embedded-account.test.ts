import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, cp, lstat, mkdir, readlink, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { ask, DAEMON, isRoot, kill, NOBODY, useEmbeddedFixture } from '../support/embedded-fixture.ts'
import { killServer } from '../support/postgres.ts'

const fixture = useEmbeddedFixture()

describe.skipIf(!isRoot)('as root (skipped for others, who cannot change users)', () => {
  test('the server runs as nobody', async () => {
    fixture.givenDatabase()
    await using server = await fixture.start()
    const user = execFileSync('ps', ['-o', 'uid=', '-p', String(server.pid)], { encoding: 'utf8' }).trim()
    expect(Number(user)).toBe(NOBODY.uid)
    expect((await lstat(fixture.directory)).isDirectory()).toBe(true)
  })

  test('in a private folder, the database is kept where its user can reach it, even when the folder moves', async () => {
    await chmod(fixture.parent, 0o755)
    const home = join(fixture.parent, 'home')
    const remoteHome = join(fixture.parent, 'remote')
    await mkdir(home, { mode: 0o700 })
    const said: string[] = []
    const options = {
      dataDirectory: join(home, 'data'),
      remoteHome,
      log: (message: string) => said.push(message),
    }
    const first = await fixture.start(options)
    await ask(first.adminUrl, 'create table kept as select 7 as value')
    await first.stop()
    expect(said.filter((message) => message.includes(remoteHome))).toHaveLength(1)
    expect(await readlink(join(home, 'data', 'postgres'))).toContain(remoteHome)

    await rename(join(home, 'data'), join(home, 'moved'))
    const moved = { ...options, dataDirectory: join(home, 'moved') }
    const second = await fixture.start(moved)
    expect(await ask(second.adminUrl, 'select value from kept')).toEqual([{ value: 7 }])
    await second.stop()
    expect(said.filter((message) => message.includes(remoteHome))).toHaveLength(1)

    await cp(join(home, 'moved'), join(home, 'copy'), { recursive: true, verbatimSymlinks: true })
    await expect(fixture.start({ ...options, dataDirectory: join(home, 'copy') })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('is a copy of'),
    })

    await rm(join(home, 'moved'), { recursive: true })
    await using third = await fixture.start(moved)
    expect(await ask(third.adminUrl, `select to_regclass('kept') as kept`)).toEqual([{ kept: null }])
    expect(said).toContainEqual(expect.stringContaining('holds the database of an earlier'))
  })

  test('a place that others can write is not trusted with the database', async () => {
    await chmod(fixture.parent, 0o755)
    const home = join(fixture.parent, 'home')
    const remoteHome = join(fixture.parent, 'remote')
    await mkdir(home, { mode: 0o700 })
    await mkdir(remoteHome)
    await chown(remoteHome, 1, 1)
    await expect(fixture.start({ dataDirectory: join(home, 'data'), remoteHome })).rejects.toMatchObject({
      code: 'unavailable',
    })
  })

  const readable = isRoot && canOthersRead()
  test.skipIf(!readable).each([
    ['nobody', NOBODY],
    ['daemon', DAEMON],
  ])(
    'an ordinary user, %s, starts, is killed, and starts again (skipped where others cannot read the project)',
    async (_name, account) => {
      const home = join(fixture.parent, 'home')
      await mkdir(home, { mode: 0o700 })
      await chown(home, account.uid, account.gid)
      fixture.folder = join(home, 'data')
      const first = await fixture.spawnOwner(account)
      expect(first.answer.error).toBeUndefined()
      const owner = execFileSync('ps', ['-o', 'uid=', '-p', String(first.answer.pid)], {
        encoding: 'utf8',
      }).trim()
      expect(Number(owner)).toBe(account.uid)
      await ask(first.answer.adminUrl, 'create table kept as select 7 as value')
      await kill(first.child)
      await killServer(fixture.directory)
      const second = await fixture.spawnOwner(account)
      expect(second.answer.error).toBeUndefined()
      expect(await ask(second.answer.adminUrl, 'select value from kept')).toEqual([{ value: 7 }])
      second.child.stdin!.end()
      await once(second.child, 'exit')

      // Root in between leaves nothing behind that would lock its owner out.
      await using server = await fixture.start()
      expect(await ask(server.adminUrl, 'select value from kept')).toEqual([{ value: 7 }])
      await server.stop()
      const third = await fixture.spawnOwner(account)
      expect(third.answer.error).toBeUndefined()
      expect((await lstat(fixture.directory)).uid).toBe(account.uid)
    },
  )

  test.skipIf(!readable)("another user's folder is refused with a hint", async () => {
    fixture.givenDatabase()
    await (await fixture.start()).stop()
    const { answer } = await fixture.spawnOwner(DAEMON)
    expect(answer.error).toMatch(/permission is denied|cannot be locked/)
    expect(answer.hint).toContain('user')
  })
})

function canOthersRead(): boolean {
  try {
    execFileSync(
      process.execPath,
      ['-e', `require('fs').readFileSync(${JSON.stringify(import.meta.filename)})`],
      {
        uid: DAEMON.uid,
        gid: DAEMON.gid,
        stdio: 'ignore',
      },
    )
    return true
  } catch {
    return false
  }
}
