/**
 * How V8 runs where the server runs. What comes in lives for the time of a request: a young generation of this many MB for each half takes
 * most of it, where the default would grow to 64 MB a half and give nothing of it back. What gets older than that may come to this much
 * more than what is in use before it is collected, where the default lets columns of requests that were long answered come to 64 MB.
 */
const FLAGS = ['--max-semi-space-size=8', '--heap-growing-percent=60']

const SERVERS = new Set(['start', 'worker'])

/**
 * Begins the process anew, as the same process, with the flags of a server where `args` start one: flags given later have no effect. Where
 * that cannot be done (Windows), or the flags are set, it goes on as it is.
 */
export function restartWithFlags(args: readonly string[]): void {
  const isSet = process.execArgv.some((flag) => flag.startsWith('--max-semi-space-size'))
  // A channel to a parent would be lost.
  if (!SERVERS.has(args[0] ?? '') || isSet || process.connected) return
  if (process.platform === 'win32' || process.execve === undefined) return
  process.execve(process.execPath, [
    process.execPath,
    ...FLAGS,
    ...process.execArgv,
    ...process.argv.slice(1),
  ])
}
