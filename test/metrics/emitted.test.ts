import { expect, test } from 'vitest'
import { emitted } from '../../src/metrics/emitted.ts'

/** Emits 0 to `count` - 1; tells what it did. */
function counting(count: number, seen: string[], signal?: AbortSignal): AsyncGenerator<number, void, void> {
  return emitted<number>(signal, async (emit) => {
    try {
      for (let i = 0; i < count; i++) await emit(i)
      seen.push('finished')
    } finally {
      seen.push('released')
    }
  })
}

test('hands out every item in order', async () => {
  const seen: string[] = []
  const items: number[] = []
  for await (const item of counting(5, seen)) items.push(item)
  expect(items).toEqual([0, 1, 2, 3, 4])
  expect(seen).toEqual(['finished', 'released'])
})

test('has released what the work held when a reader has left', async () => {
  const seen: string[] = []
  for await (const item of counting(5, seen)) if (item === 1) break
  expect(seen).toEqual(['released'])
})

test('has released what the work held when its reader fails', async () => {
  const seen: string[] = []
  const reading = async () => {
    for await (const item of counting(5, seen)) throw new Error(`refused ${item}`)
  }
  await expect(reading()).rejects.toThrow('refused 0')
  expect(seen).toEqual(['released'])
})

test('does nothing before it is read', async () => {
  const seen: string[] = []
  await counting(5, seen).return()
  expect(seen).toEqual([])
})

test('passes the error of the work on, after what came before it', async () => {
  const items: number[] = []
  const failing = emitted<number>(undefined, async (emit) => {
    await emit(1)
    throw new Error('broken')
  })
  const reading = async () => {
    for await (const item of failing) items.push(item)
  }
  await expect(reading()).rejects.toThrow('broken')
  expect(items).toEqual([1])
})

test('hands out nothing after an abort', async () => {
  const seen: string[] = []
  const items: number[] = []
  const controller = new AbortController()
  const reading = async () => {
    for await (const item of counting(5, seen, controller.signal)) {
      items.push(item)
      controller.abort(new Error('enough'))
    }
  }
  await expect(reading()).rejects.toThrow('enough')
  expect(items).toEqual([0])
  expect(seen).toEqual(['released'])
})
