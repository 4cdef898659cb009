import { execFile } from 'node:child_process'
import { access, mkdir, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const ROOT = '/sys/fs/cgroup'
const PERIOD_US = 20_000

/** Gives a server, with all of its processes, so much of one core at most. Linux, as root. Disposed of when none of them runs any more. */
export async function limitCpu(pid: number, cores: number): Promise<AsyncDisposable> {
  const isUnified = await access(join(ROOT, 'cgroup.controllers')).then(
    () => true,
    () => false,
  )
  const group = join(ROOT, isUnified ? '' : 'cpu', `nomaly-bench-${pid}`)
  await mkdir(group)
  const quota = Math.round(cores * PERIOD_US)
  if (isUnified) await writeFile(join(group, 'cpu.max'), `${quota} ${PERIOD_US}`)
  else {
    await writeFile(join(group, 'cpu.cfs_period_us'), String(PERIOD_US))
    await writeFile(join(group, 'cpu.cfs_quota_us'), String(quota))
  }
  const { stdout } = await promisify(execFile)('ps', ['-o', 'pid=', '--ppid', String(pid)])
  // Those that come later are born into it.
  for (const member of [String(pid), ...stdout.split('\n').map((line) => line.trim())])
    if (member !== '') await writeFile(join(group, 'cgroup.procs'), member).catch(() => {})
  return {
    async [Symbol.asyncDispose]() {
      for (let tries = 0; tries < 100; tries++) {
        if (
          await rmdir(group).then(
            () => true,
            () => false,
          )
        )
          return
        await sleep(50)
      }
    },
  }
}
