import { randomBytes, scrypt } from 'node:crypto'

/** Names that must not be known from what is kept of them, but recognised where they stand. */
export interface NameHashes {
  /** 16 random bytes, base64url. */
  readonly salt: string
  /** {@link hashName} of each, base64url. */
  readonly hashes: readonly string[]
}

/** Some 50 ms and 16 MB for a guess (RFC 7914): names are short, and a list of likely ones is soon made. */
const COST = { N: 16_384, r: 8, p: 1 } as const
const BYTES = 32

/** Hashes names under a new salt. */
export async function hashNames(names: readonly string[]): Promise<NameHashes> {
  const salt = randomBytes(16).toString('base64url')
  const hashes: string[] = []
  for (const name of names) hashes.push(await hashName(salt, name))
  return { salt, hashes }
}

/** Those of `candidates` that were hashed; slow by intent, so candidates are to be few. */
export async function recognise(
  candidates: readonly string[],
  { salt, hashes }: NameHashes,
  signal: AbortSignal,
): Promise<string[]> {
  if (hashes.length === 0) return []
  const wanted = new Set(hashes)
  const found: string[] = []
  for (const candidate of new Set(candidates)) {
    signal.throwIfAborted()
    if (wanted.has(await hashName(salt, candidate))) found.push(candidate)
  }
  return found
}

function hashName(salt: string, name: string): Promise<string> {
  return new Promise((resolve, reject) => {
    scrypt(name, Buffer.from(salt, 'base64url'), BYTES, COST, (error, key) =>
      error === null ? resolve(key.toString('base64url')) : reject(error),
    )
  })
}
