import type { FastifySchemaCompiler } from 'fastify'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'
import type { TSchema } from 'typebox'

/**
 * Checks inputs against TypeBox schemas. Texts of URLs become numbers and booleans where the schema wants them; bodies are taken as
 * they are. PostgreSQL stores no NUL character, so no text may hold one.
 */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const check = Compile(schema)
  return (input: unknown) => {
    const value = httpPart === 'body' ? input : Value.Convert(schema, input)
    if (!check.Check(value)) return { error: [...check.Errors(value)] as never }
    const path = findNul(value, '')
    if (path !== undefined)
      return { error: [{ instancePath: path, keyword: 'nul', message: 'holds a NUL character' }] as never }
    return { value }
  }
}

function findNul(value: unknown, path: string): string | undefined {
  if (typeof value === 'string') return value.includes('\0') ? path : undefined
  if (typeof value !== 'object' || value === null) return undefined
  for (const [key, item] of Object.entries(value)) {
    const found = key.includes('\0') ? path : findNul(item, `${path}/${key}`)
    if (found !== undefined) return found
  }
  return undefined
}
