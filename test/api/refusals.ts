import { expect } from 'vitest'
import type { RawAnswer } from './raw-request.ts'

/** Traces of what is inside: stacks, SQL, the schema, files. */
const LEAKS = [
  /\n\s+at /,
  /\(?(file:\/\/|node:internal|node_modules|\/src\/\w+\/|\/dist\/\w+\/)/,
  /\.[jt]s:\d+/,
  /\b(select|insert into|update|delete from)\b.{1,200}\b(nomaly|metrics|pgboss)\./is,
  /syntax error at or near|violates|relation "|column "|duplicate key|invalid input syntax|out of range for type|SQLSTATE|postgres/i,
  /\b(TypeError|RangeError|SyntaxError|ReferenceError|FST_ERR\w+|E[A-Z]{4,}:)/,
]

/** What is asked of every answer: no failure of the server, and each refusal a problem document that says what is wrong. */
export function expectSound(answer: RawAnswer, request: string): void {
  const { status, text } = answer
  const said = `${request}\n→ ${status} ${text.slice(0, 500)}`
  expect(status, said).toBeLessThan(500)
  if (status < 400) {
    // What looks like JSON says so.
    if (/^[[{]/.test(text)) expect(answer.headers['content-type'], said).toMatch(/^application\/json/)
    return
  }
  expect(answer.headers['content-type'], said).toMatch(/^application\/problem\+json/)
  const problem = JSON.parse(text) as Record<string, unknown>
  expect(problem, said).toMatchObject({ type: expect.stringMatching(/^urn:nomaly:problem:\w+$/), status })
  for (const name of ['title', 'detail', 'instance'])
    expect(problem[name], `${name} of ${said}`).toSatisfy(
      (value) => typeof value === 'string' && value !== '',
    )
  if ([400, 413, 415, 422].includes(status)) {
    const errors = problem['errors'] as { field: unknown; reason: unknown }[]
    expect(errors, said).toSatisfy((list) => Array.isArray(list) && list.length > 0)
    for (const { field, reason } of errors) {
      expect(field, said).toSatisfy((value) => typeof value === 'string' && value.trim() !== '')
      expect(reason, said).toSatisfy((value) => typeof value === 'string' && value !== '')
    }
  }
  // The net below the checks of the routes does not know the field: whatever it catches, a check has missed.
  expect(text, said).not.toContain('The database refused a value')
  for (const leak of LEAKS) expect(text, said).not.toMatch(leak)
}
