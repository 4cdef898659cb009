import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** Whether packages may be installed here. */
export async function mayInstall(): Promise<boolean> {
  return process.getuid?.() === 0 && (await findProgram('apt-get')) !== undefined
}

/** Installs packages of Debian's, without starting any service. @throws Error that says what could not be installed. */
export async function installPackages(packages: readonly string[]): Promise<void> {
  // The services of the packages stay off: a script that answers 101 is how Debian is told so.
  const script =
    'policy=/usr/sbin/policy-rc.d; if [ ! -e $policy ]; then trap "rm -f $policy" EXIT; printf "#!/bin/sh\\nexit 101\\n" >$policy; chmod 755 $policy; fi; "$@"'
  const apt = ['apt-get', '-o', 'DPkg::Lock::Timeout=300', '-qq']
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const run = (...args: string[]): Promise<unknown> =>
    execute('/bin/sh', ['-c', script, 'sh', ...apt, ...args], { env, timeout: 600_000 })
  try {
    await run('update')
    await run('install', '-y', '--no-install-recommends', ...packages)
  } catch (error) {
    throw new Error(
      `apt-get could not install ${packages.join(' ')}, which this test needs: ${(error as Error).message}`,
      { cause: error },
    )
  }
}

/** The path of a program; `undefined` where it is not installed. */
export async function findProgram(program: string): Promise<string | undefined> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/bin', '/usr/bin', '/usr/sbin']
  for (const folder of folders)
    if (folder !== '' && (await isThere(join(folder, program)))) return join(folder, program)
  return undefined
}

/** Whether a file is there. */
export async function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}
