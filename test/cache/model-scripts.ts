import type { CacheScript } from '../../src/cache/redis-cache-scripts.ts'

/** What a server holds. */
export type ModelKeys = Map<string, { readonly value: string; readonly untilMs: number }>

export type ModelScript = (
  held: ModelKeys,
  keys: readonly string[],
  values: readonly string[],
  nowMs: number,
  /** Of the server, since it last became a master. */
  replicationId: string,
) => unknown

export type ModelScripts = Readonly<Record<CacheScript['name'], ModelScript>>

/** What the scripts of the cache do, said once more in another language; a test compares the two on a real server. */
export const MODEL_SCRIPTS: ModelScripts = { claim, fix, raise, take, release }

function claim(
  held: ModelKeys,
  keys: readonly string[],
  values: readonly string[],
  nowMs: number,
  replicationId: string,
): string[] {
  const [runId, fresh, mode, token, generationMs, placeMs] = values
  const [generationKey, ...floorKeys] = keys
  const known = /^([^|]+)\|([^@]*)@(.*)$/.exec(read(held, generationKey!, nowMs) ?? '')
  const isKnown =
    known !== null &&
    known[3] === runId &&
    mode !== 'new' &&
    (mode !== 'proven' || known[2] === replicationId)
  const generation = isKnown ? known[0] : `${fresh}|${replicationId}@${runId}`
  const name = generation.split('|')[0]
  write(held, generationKey!, generation, nowMs, generationMs!)
  const floors = floorKeys.map((key) => {
    const floor = read(held, key, nowMs)
    if (floor?.startsWith(`${name}|`) === true) return floor
    const place = `${name}|?|${token}`
    write(held, key, place, nowMs, placeMs!)
    return place
  })
  return [generation, ...floors]
}

function fix(held: ModelKeys, keys: readonly string[], values: readonly string[], nowMs: number): number {
  const [generation, floorMs, ...places] = values
  const [generationKey, ...floorKeys] = keys
  if (read(held, generationKey!, nowMs) !== generation) return 0
  const unchanged = floorKeys.filter((key, index) => read(held, key, nowMs) === places[2 * index])
  for (const key of unchanged) write(held, key, places[2 * floorKeys.indexOf(key) + 1]!, nowMs, floorMs!)
  return unchanged.length
}

function raise(held: ModelKeys, keys: readonly string[], values: readonly string[], nowMs: number): number {
  const [said, floorMs, ...nonces] = values
  keys.forEach((key, index) => {
    const [generation, position] = read(held, key, nowMs)?.split('|') ?? []
    if (position === '?') held.delete(key)
    else if (position !== undefined)
      write(held, key, `${generation}|${later(position, said!)}|${nonces[index]}`, nowMs, floorMs!)
  })
  return 1
}

function take(
  held: ModelKeys,
  [lock, valueKey]: readonly string[],
  [token, forMs]: readonly string[],
  nowMs: number,
): string[] | null {
  if (read(held, lock!, nowMs) !== undefined) return null
  write(held, lock!, token!, nowMs, forMs!)
  const value = read(held, valueKey!, nowMs)
  return value === undefined ? [] : [value]
}

function release(held: ModelKeys, keys: readonly string[], values: readonly string[], nowMs: number): number {
  return read(held, keys[0]!, nowMs) === values[0] && held.delete(keys[0]!) ? 1 : 0
}

/** The later of two positions; the one said last where they are of different servers or timelines. */
export function later(before: string, said: string): string {
  const serverOf = (position: string): string => position.slice(0, position.lastIndexOf('.'))
  return serverOf(before) === serverOf(said) && before > said ? before : said
}

export function read(held: ModelKeys, key: string, nowMs: number): string | undefined {
  const found = held.get(key)
  return found === undefined || found.untilMs <= nowMs ? undefined : found.value
}

export function write(held: ModelKeys, key: string, value: string, nowMs: number, forMs: string): void {
  held.set(key, { value, untilMs: nowMs + Number(forMs) })
}
