import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'

/**
 * Keeps every processor from going to sleep, by work that runs only while there is nothing else (SCHED_IDLE, sched(7)). On a virtual machine
 * it takes longer to wake one (some 25 µs a question, and that is not the same from hour to hour) than to answer a short question; a server
 * in use is awake. Needs util-linux' chrt: without it the processors sleep, and short answers of servers come late.
 */
export function keepAwake(log: (message: string) => void): Disposable {
  const spinners = Array.from({ length: availableParallelism() }, () =>
    // They end with this process, however it ends: their input closes. A session of their own, since time is shared by session first.
    spawn('chrt', ['--idle', '0', 'sh', '-c', SCRIPT], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    }),
  )
  spinners[0]!.on('error', () => log('There is no chrt here: processors may sleep between short questions.'))
  for (const spinner of spinners.slice(1)) spinner.on('error', () => {})
  return {
    [Symbol.dispose]: () => {
      for (const spinner of spinners) spinner.stdin.end()
    },
  }
}

const SCRIPT = `
  echo 19 2> /dev/null > /proc/self/autogroup
  while :; do :; done &
  spin=$!
  cat > /dev/null
  kill $spin`
