import { readFile, realpath, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { explainFileError, writePrivateFile } from './data-folder.ts'
import { chooseAccount } from './embedded-account.ts'
import { writeSettings } from './embedded-cluster.ts'
import { type EmbeddedFooting, renderSettings } from './embedded-settings.ts'
import { readLineage } from './log-archive.ts'
import { measureMachine } from './measure-machine.ts'
import type { Machine } from './server-settings.ts'

/** Where the data folder keeps what its server may count on. */
const FILE = 'postgres-machine.json'

/**
 * What the embedded server may count on: what `nomaly tune` was told, which then is the server's alone, or else this machine, which it
 * shares with everything on it.
 */
export async function embeddedFooting(folder: string): Promise<EmbeddedFooting> {
  const kept = await readKeptMachine(folder)
  const archiveSeconds = (await readLineage(join(folder, 'postgres')))?.segmentSeconds
  return { ...measureMachine(), ...kept, isOwn: kept.memoryBytes !== undefined, archiveSeconds }
}

/** What an earlier {@link keepMachine} was given; empty where nothing was, or where it cannot be read. */
export async function readKeptMachine(folder: string): Promise<Partial<Machine>> {
  const text = await readFile(join(folder, FILE), 'utf8').catch(() => '{}')
  try {
    const { memoryBytes, processors } = JSON.parse(text) as Record<string, unknown>
    return {
      ...(isPositive(memoryBytes) ? { memoryBytes } : {}),
      ...(isPositive(processors) ? { processors } : {}),
    }
  } catch {
    return {}
  }
}

/** Keeps it for this and every later start; an empty one is forgotten. */
export async function keepMachine(folder: string, machine: Partial<Machine>): Promise<void> {
  const path = join(folder, FILE)
  try {
    if (Object.keys(machine).length === 0) await rm(path, { force: true })
    else await writePrivateFile(path, `${JSON.stringify(machine)}\n`)
  } catch (error) {
    throw explainFileError(error, path)
  }
}

/** Writes the settings of a server that has been made, whether it runs or not; false when they were the same. */
export async function rewriteEmbeddedSettings(folder: string): Promise<boolean> {
  const place = join(folder, 'postgres')
  const account = await chooseAccount([place, folder])
  return await writeSettings(await realpath(place), account, renderSettings(await embeddedFooting(folder)))
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0
}
