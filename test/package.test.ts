import { execFile, spawn } from 'node:child_process'
import { chmod, cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..')
const run = promisify(execFile)
let work: string
let installed: string

// The package as a user gets it: packed from a copy of the tree, installed in an empty folder.
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'nomaly-package-'))
  // Passable for the account that the database server runs under when this is root.
  await chmod(work, 0o755)
  const source = join(work, 'source')
  installed = join(work, 'installed')
  const { stdout } = await run('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
  })
  for (const path of stdout.trim().split('\n')) {
    await mkdir(dirname(join(source, path)), { recursive: true })
    await cp(join(ROOT, path), join(source, path)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
  }
  await symlink(join(ROOT, 'node_modules'), join(source, 'node_modules'))
  await symlink(join(ROOT, 'dashboard', 'node_modules'), join(source, 'dashboard', 'node_modules'))
  await run('npm', ['pack', '--pack-destination', work], { cwd: source })
  const tarball = (await readdir(work)).find((name) => name.endsWith('.tgz'))
  expect(tarball).toBeDefined()
  await mkdir(installed)
  await writeFile(join(installed, 'package.json'), '{"private": true, "type": "module"}')
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', join(work, tarball!)], {
    cwd: installed,
  })
}, 300_000)

afterAll(() => rm(work, { recursive: true, force: true }), 60_000)

test('the installed package detects an anomaly in a file, and exports its library', async () => {
  const lines = Array.from(
    { length: 500 },
    (_, i) => `${new Date(1.7e12 + i * 60_000).toISOString()},${i === 400 ? 99 : (i * 7919) % 13}`,
  )
  await writeFile(join(installed, 'data.csv'), `time,value\n${lines.join('\n')}\n`)
  const { stdout } = await nomaly(['detect', 'data.csv', '--output', 'json'])
  expect(JSON.parse(stdout).series[0].findings).toHaveLength(1)
  const script =
    "import { detectSeries, openStore } from 'nomaly'; console.log(typeof detectSeries, typeof openStore)"
  await writeFile(join(installed, 'use.js'), script)
  expect((await run(process.execPath, ['use.js'], { cwd: installed })).stdout).toBe('function function\n')
})

test('the installed package starts, shows its dashboard, and stops', async () => {
  const env = {
    ...process.env,
    NOMALY_DATA_DIR: join(installed, 'data'),
    NOMALY_PORT: '0',
    NOMALY_EMBEDDED_DATABASE_PORT: '18421',
  }
  const server = spawn(process.execPath, [binary(), 'start'], {
    cwd: installed,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<number | null>((resolve) => server.on('exit', resolve))
  try {
    let output = ''
    for await (const chunk of server.stdout) {
      output += String(chunk)
      if (output.includes('Ctrl+C')) break
    }
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(output)![0]
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    expect(await (await fetch(url)).text()).toContain('<div id="root">')
    expect((await nomaly(['status'], env)).stdout).toContain('Nomaly is ready')
    await nomaly(['stop'], env)
    expect(await ended).toBe(0)
  } finally {
    server.kill('SIGKILL')
  }
}, 60_000)

function binary(): string {
  return join(installed, 'node_modules', 'nomaly', 'dist', 'cli', 'main.js')
}

function nomaly(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<{ stdout: string }> {
  return run(process.execPath, [binary(), ...args], { cwd: installed, env })
}
