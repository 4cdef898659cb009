import { createHash } from 'node:crypto'

/** A script of Redis 7, which knows it by the hash of its text. */
export interface CacheScript {
  readonly name: 'claim' | 'fix' | 'raise' | 'take' | 'release'
  readonly text: string
  readonly sha: string
}

// A floor is `generation|position|nonce`; the place of one that is being made is `generation|?|token`. The key of the generation holds
// `generation|replication id@run id`: a server gets a new replication id each time it becomes a master.

/**
 * Keys: generation, floors. Arguments: run id, new generation, `new` to begin it in any case or `proven` to do so where the server has become a
 * master since, token, lifetimes of generation and place. Puts the token wherever a floor is missing. Answers what the key of the generation
 * holds, and what there is at each floor.
 */
const CLAIM = `
local runId, generation = ARGV[1], redis.call('get', KEYS[1])
local name, replication = string.match(generation or '', '^([^|]+)|([^@]*)@')
local current = name and generation == name .. '|' .. replication .. '@' .. runId and ARGV[3] ~= 'new'
if not current or ARGV[3] == 'proven' then
  local now = string.match(redis.call('info', 'replication'), 'master_replid:(%w+)')
  current = current and replication == now
  if not current then
    name = ARGV[2]
    generation = name .. '|' .. now .. '@' .. runId
  end
end
redis.call('set', KEYS[1], generation, 'px', ARGV[5])
local answer = { generation }
for i = 2, #KEYS do
  local floor = redis.call('get', KEYS[i])
  if not floor or string.sub(floor, 1, #name + 1) ~= name .. '|' then
    floor = name .. '|?|' .. ARGV[4]
    redis.call('set', KEYS[i], floor, 'px', ARGV[6])
  end
  answer[i] = floor
end
return answer`

/**
 * Keys: generation, places. Arguments: what the key of the generation must still hold, lifetime of floors, and for each place what it must still hold and the floor.
 * Puts floors where nothing has happened since the claim.
 */
const FIX = `
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
local fixed = 0
for i = 2, #KEYS do
  if redis.call('get', KEYS[i]) == ARGV[2 * i - 1] then
    redis.call('set', KEYS[i], ARGV[2 * i], 'px', ARGV[2])
    fixed = fixed + 1
  end
end
return fixed`

/**
 * Keys: floors. Arguments: position, lifetime of floors, and a nonce for each. Raises the floors that exist, and makes room where one is being
 * made, whose maker then begins anew. May run while the memory is full: it needs no more of it.
 */
const RAISE = `#!lua flags=allow-oom
local said = ARGV[1]
local server = string.match(said, '^(.*%.)')
for i = 1, #KEYS do
  local floor = redis.call('get', KEYS[i])
  local name, position = string.match(floor or '', '^([^|]*)|([^|]*)|')
  if position == '?' then
    redis.call('del', KEYS[i])
  elseif position then
    if string.sub(position, 1, #server) ~= server or position < said then position = said end
    redis.call('set', KEYS[i], name .. '|' .. position .. '|' .. ARGV[i + 2], 'px', ARGV[2])
  end
end
return 1`

/** Keys: a lock, a value. Arguments: token, lifetime. Answers nothing where it is taken; otherwise the value in a list, or an empty one. */
const TAKE = `
if not redis.call('set', KEYS[1], ARGV[1], 'nx', 'px', ARGV[2]) then return false end
return { redis.call('get', KEYS[2]) or nil }`

/** Key: a lock. Argument: the token that it was taken with. */
const RELEASE = `
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0`

export const CACHE_SCRIPTS = {
  claim: script('claim', CLAIM),
  fix: script('fix', FIX),
  raise: script('raise', RAISE),
  take: script('take', TAKE),
  release: script('release', RELEASE),
} as const

function script(name: CacheScript['name'], text: string): CacheScript {
  const trimmed = text.trim()
  return { name, text: trimmed, sha: createHash('sha1').update(trimmed).digest('hex') }
}
