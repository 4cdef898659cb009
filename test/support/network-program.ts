import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import { findProgram, installPackages, mayInstall } from './debian-packages.ts'

export interface NetworkProgramOptions {
  /** As on the PATH, and as Debian's package. */
  readonly name: string
  /** The variable that names the program where it is elsewhere. */
  readonly variable: string
  /** Files of its folder, by name; everybody can read them. */
  readonly files: (folder: string) => Readonly<Record<string, string>>
  readonly args: (folder: string) => readonly string[]
  /** It is there once this answers. */
  readonly port: number
}

/** A program that stands between clients and servers, with a folder of its own, until the test ends or this process does. */
export async function startNetworkProgram(options: NetworkProgramOptions): Promise<ChildProcess> {
  const { name, variable, port } = options
  const program = process.env[variable] ?? (await find(name))
  if (program === undefined)
    throw new Error(
      `This test needs ${name}: install it (apt-get install ${name}), or let ${variable} name it.`,
    )
  const folder = await mkdtemp(join(tmpdir(), `nomaly-${name}-`))
  await chmod(folder, 0o755)
  for (const [file, text] of Object.entries(options.files(folder)))
    await writeFile(join(folder, file), text, { mode: 0o644 })
  const child = spawn(program, options.args(folder), { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-4_000)
    })
  // Its input closes with this process, however that ends.
  const guard = spawn('/bin/sh', ['-c', 'cat > /dev/null; kill -9 "$1"', 'guard', String(child.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  onTestFinished(async () => {
    const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined
    child.kill('SIGKILL')
    await ended
    guard.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  })
  for (let tries = 0; !(await answers(port)); tries++) {
    if (child.exitCode !== null || tries > 200) throw new Error(`${name} does not start:\n${output}`)
    await sleep(50)
  }
  return child
}

/** As root on Debian it is installed where it is missing. */
async function find(name: string): Promise<string | undefined> {
  const found = await findProgram(name)
  if (found !== undefined || !(await mayInstall())) return found
  await installPackages([name])
  return findProgram(name)
}

async function answers(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port })
  const isThere = await Promise.race([
    once(socket, 'connect').then(() => true),
    once(socket, 'close').then(() => false),
  ]).catch(() => false)
  socket.destroy()
  return isThere
}
