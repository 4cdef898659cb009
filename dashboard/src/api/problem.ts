/** A problem document (RFC 9457) as the API sends it. */
interface ProblemDocument {
  title?: string
  status?: number
  detail?: string
  hint?: string
  errors?: { field: string; reason: string }[]
}

/** An answer of the API that is not a success, in the server's own words. */
export class ApiProblem extends Error {
  readonly status: number
  readonly title: string
  readonly hint: string | undefined
  readonly fields: readonly { field: string; reason: string }[]

  constructor(status: number, document: ProblemDocument) {
    super(document.detail ?? document.title ?? `The server answered ${status}.`)
    this.name = 'ApiProblem'
    this.status = status
    this.title = document.title ?? `The server answered ${status}`
    this.hint = document.hint
    this.fields = document.errors ?? []
  }
}

/** Turns whatever was thrown into something that can be shown: title, sentence, hint and fields. */
export function asProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error
  if (error instanceof TypeError)
    return new ApiProblem(0, {
      title: 'The server cannot be reached',
      detail: 'No answer came back.',
      hint: 'Check that Nomaly is running (npm start); this page tries again by itself.',
    })
  return new ApiProblem(0, {
    title: 'Something went wrong',
    detail: error instanceof Error ? error.message : String(error),
  })
}

/** Reads the body of a failed response, which may be no problem document when a proxy answered. */
export async function problemOf(response: Response): Promise<ApiProblem> {
  const text = await response.text().catch(() => '')
  return new ApiProblem(response.status, parseDocument(text) ?? { title: response.statusText })
}

/** Makes a problem from a body that was parsed already. */
export function problemFromBody(status: number, body: unknown): ApiProblem {
  const document = typeof body === 'string' ? parseDocument(body) : body
  return new ApiProblem(status, document !== null && typeof document === 'object' ? document : {})
}

function parseDocument(text: string): ProblemDocument | undefined {
  try {
    const parsed: unknown = JSON.parse(text)
    return parsed !== null && typeof parsed === 'object' ? parsed : undefined
  } catch {
    return undefined
  }
}
