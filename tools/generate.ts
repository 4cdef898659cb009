// Writes what is generated from the code: `npm run generate`. A test fails when the files in the tree differ.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generatedFiles } from './generated-files.ts'

for (const { path, text } of await generatedFiles()) {
  await writeFile(join(import.meta.dirname, '..', path), text)
  console.log(`wrote ${path}`)
}
