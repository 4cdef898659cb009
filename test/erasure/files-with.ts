import { opendir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

/** Files below a folder, other than those that come and go, whose bytes hold a marker; by their path in it. */
export async function filesWith(folder: string, marker: Buffer): Promise<string[]> {
  const found: string[] = []
  for await (const entry of await opendir(folder, { recursive: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    // Between the list and the look a table may have been written anew.
    const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return Buffer.alloc(0)
      throw error
    })
    if (bytes.includes(marker)) found.push(relative(folder, path))
  }
  return found.toSorted()
}

/** The eight bytes in which a server keeps a number, in tables of points that are not compressed and in the log. */
export function asStored(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return bytes
}
