import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface CliResult {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** Runs a command line as its own process: output is no terminal, and only the environment given counts. */
export async function runCli(
  args: readonly string[],
  options: { readonly env?: Record<string, string>; readonly input?: string; readonly cwd?: string } = {},
): Promise<CliResult> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: options.cwd ?? process.cwd(),
    env: { PATH: process.env['PATH'], NOMALY_DATA_DIR: '/nonexistent/nomaly', ...options.env },
    stdio: 'pipe',
  })
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input ?? '')
  const [out, err, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve) => child.on('close', resolve)),
  ])
  return { code, out, err }
}

async function text(stream: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts).toString()
}
