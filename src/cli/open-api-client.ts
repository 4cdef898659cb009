import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { loadConfig } from '../config/load.ts'
import { readFolderOwner } from '../database/data-folder.ts'
import { NomalyError } from '../errors.ts'
import { ApiClient } from './api-client.ts'

export interface ServerFlags {
  readonly url?: string
  readonly apiKey?: string
}

/** Adds the options that say which server, for where it does not run on this machine's data folder. */
export function withServer(command: Command): Command {
  return command
    .option('--url <url>', 'server to talk to (NOMALY_URL); found by itself on this machine')
    .option('--api-key <key>', 'key to use (NOMALY_API_KEY); found by itself on this machine')
}

/**
 * A client for the server that was named, or for the one that runs on the data folder. The admin key of the
 * folder is only ever sent to that one. Throws `unavailable` when none runs, `unauthenticated` without a key.
 */
export async function openApiClient(flags: ServerFlags): Promise<ApiClient> {
  const config = loadConfig()
  const url = flags.url ?? config.clientUrl
  if (url !== undefined && !/^https?:\/\//.test(url)) {
    throw new NomalyError('invalid_input', `"${url}" is not the URL of a server.`, {
      hint: 'Write it as http://host:8420 or https://host.',
    })
  }
  const key = flags.apiKey ?? config.clientApiKey
  if (url !== undefined && key !== undefined) return new ApiClient(url, key)
  const owner = await readFolderOwner(config.dataDirectory)
  const local = owner?.alive === true ? owner.url : undefined
  const target = url ?? local
  if (target === undefined) {
    throw new NomalyError('unavailable', 'Nomaly is not running here.', {
      hint:
        'Start it with `nomaly start` (in the same folder, or with the same NOMALY_DATA_DIR), or name a server ' +
        'with --url or NOMALY_URL.',
    })
  }
  if (key !== undefined) return new ApiClient(target, key)
  if (local === undefined || new URL(local).origin !== new URL(target).origin) {
    throw new NomalyError('unauthenticated', `There is no API key for ${target}.`, {
      hint: 'Give one with --api-key or NOMALY_API_KEY; `nomaly keys create` makes one on the server.',
    })
  }
  return new ApiClient(target, await readAdminKey(config.dataDirectory))
}

async function readAdminKey(dataDirectory: string): Promise<string> {
  const path = join(dataDirectory, 'admin-key')
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    const denied = (error as NodeJS.ErrnoException).code === 'EACCES'
    throw new NomalyError(
      'unauthenticated',
      `The admin key in ${path} ${denied ? 'may not be read by you' : 'is missing'}.`,
      {
        hint: denied
          ? 'Run this as the user who started Nomaly, or give a key with --api-key.'
          : 'Give a key with --api-key.',
        cause: error,
      },
    )
  }
}
