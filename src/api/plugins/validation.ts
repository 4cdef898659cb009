import type { FastifySchemaCompiler } from 'fastify'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'
import { Type, type TSchema } from 'typebox'

/**
 * Checks inputs against TypeBox schemas. Texts of URLs become numbers and booleans where the schema wants them; bodies are taken as
 * they are. PostgreSQL stores neither a NUL character nor half a surrogate pair, so no text may hold one.
 */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const check = Compile(schema)
  // Fastify says `null` for a body that is not there.
  const mayBeMissing = httpPart === 'body' && Type.IsOptional(schema)
  return (input: unknown) => {
    if (input === null && mayBeMissing) return { value: input }
    const value = httpPart === 'body' ? input : Value.Convert(schema, input)
    if (!check.Check(value)) return { error: [...check.Errors(value)] as never }
    const unstorable = findUnstorable(value, '')
    if (unstorable !== undefined) return { error: [{ keyword: 'unstorable', ...unstorable }] as never }
    return { value }
  }
}

interface Unstorable {
  readonly instancePath: string
  readonly message: string
}

function findUnstorable(value: unknown, instancePath: string): Unstorable | undefined {
  if (typeof value === 'string') return whyUnstorable(value, instancePath)
  if (typeof value !== 'object' || value === null) return undefined
  for (const [key, item] of Object.entries(value)) {
    const found = whyUnstorable(key, instancePath) ?? findUnstorable(item, `${instancePath}/${key}`)
    if (found !== undefined) return found
  }
  return undefined
}

function whyUnstorable(text: string, instancePath: string): Unstorable | undefined {
  if (text.includes('\0')) return { instancePath, message: 'holds a NUL character' }
  if (!text.isWellFormed())
    return { instancePath, message: 'holds half a surrogate pair, which is not valid Unicode' }
  return undefined
}
