#!/usr/bin/env node
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'
import { restartWithFlags } from './server-flags.ts'

restartWithFlags(process.argv.slice(2))

// Compiled code is kept between calls, which makes every start faster; in a folder of the package itself, since others may write to the
// default one, the machine's temporary folder. Where it cannot be written, Node goes on without.
enableCompileCache(join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'compiled'))
const { runCli } = await import('./run-cli.ts')
await runCli(process.argv.slice(2))
