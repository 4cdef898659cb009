import { realpath, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { bytesText } from '../amounts.ts'
import { type Check, fail, type Finding, ok, warn } from '../check.ts'

const GIB = 1024 ** 3

/** What is left of a disk, as a part and in bytes. */
interface Room {
  readonly place: string
  readonly freeBytes: number
  readonly totalBytes: number
}

export const DISK: Check = {
  name: 'disk',
  on: 'machine',
  looksAt:
    'What is free on the disk of the data folder and of the embedded database. That of a server of your own cannot be seen from here.',
  why: 'On a full disk every write fails until there is room.',
  async examine({ config }) {
    const places = [config.dataDirectory, join(config.dataDirectory, 'postgres')]
    const rooms = new Map<string, Room>()
    for (const place of places) {
      const room = await measure(place)
      if (room !== undefined) rooms.set(`${room.totalBytes} ${room.freeBytes}`, room)
    }
    if (rooms.size === 0) return [ok('There is no data folder here.')]
    return [...rooms.values()].map(judgeDisk)
  },
}

/** Warns below a tenth or 5 GB, whichever is less; fails below a fiftieth or 1 GB. */
export function judgeDisk({ place, freeBytes, totalBytes }: Room): Finding {
  const part = `${Math.floor((freeBytes / totalBytes) * 100)} %`
  const says = `${bytesText(freeBytes)} of ${bytesText(totalBytes)} are free (${part}) at ${place}.`
  const facts = { place, freeBytes, totalBytes }
  const todo =
    'Free space, enlarge the disk, or keep points for a shorter time; `nomaly estimate` says what a dataset takes.'
  if (freeBytes < Math.min(totalBytes / 50, GIB))
    return fail(says, 'When it is full, every write answers 503 until there is room.', todo, facts)
  if (freeBytes < Math.min(totalBytes / 10, 5 * GIB))
    return warn(says, 'It will be full before long.', todo, facts)
  return ok(says, facts)
}

async function measure(place: string): Promise<Room | undefined> {
  try {
    const path = await realpath(place)
    const { bavail, blocks, bsize } = await statfs(path)
    return { place: path, freeBytes: bavail * bsize, totalBytes: blocks * bsize }
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}
