import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { generatedFiles } from '../tools/generated-files.ts'

test('what is generated from the code is up to date: `npm run generate` makes it so', async () => {
  for (const { path, text } of await generatedFiles())
    expect(readFileSync(join(import.meta.dirname, '..', path), 'utf8'), path).toBe(text)
})
