import { spawn } from 'node:child_process'

/** Ends what a benchmark left running, should the benchmark itself be killed. */
export interface ProcessGuard {
  /** There is nothing left to guard. */
  release(): void
}

// Its input closes with the process that started it, however that ends.
const SCRIPT = `
  cat > /dev/null
  kill -KILL "-$1"
  pid=$(head -n 1 "$2/postmaster.pid") && ps -p "$pid" -o command= | grep -q -F "$2" && kill -QUIT "$pid"`

/** Watches a process group, and the PostgreSQL server on `postgresDirectory`. */
export function guardProcesses(group: number, postgresDirectory: string): ProcessGuard {
  const guard = spawn('/bin/sh', ['-c', SCRIPT, 'guard', String(group), postgresDirectory], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  guard.unref()
  return { release: () => void guard.kill('SIGKILL') }
}
