const ATTEMPTS = 4
const FIRST_WAIT_MS = 400
const LONGEST_WAIT_MS = 60_000

/**
 * Sends a request, and sends it again where that does no harm: a POST under one `Idempotency-Key` when its answer did not come or it is still
 * being worked on, and anything at all when the server asks for patience.
 */
export async function patientFetch(
  request: Request,
  send: (request: Request) => Promise<Response> = fetch,
  sleep: (ms: number) => Promise<void> = wait,
): Promise<Response> {
  const isOnce = request.method === 'POST'
  if (isOnce && !request.headers.has('idempotency-key')) request.headers.set('idempotency-key', randomKey())
  for (let attempt = 1; ; attempt += 1) {
    const isLast = attempt === ATTEMPTS
    const ceilingMs = FIRST_WAIT_MS * 2 ** attempt
    try {
      const response = await send(request.clone())
      const waitMs = await patienceFor(response, isOnce)
      if (waitMs === undefined || isLast) return response
      await sleep(waitMs + ceilingMs * Math.random())
    } catch (error) {
      // The connection broke, or there was none.
      if (!(error instanceof TypeError) || !isOnce || isLast) throw error
      await sleep(ceilingMs * Math.random())
    }
  }
}

/** How long to wait before the same request makes sense again; `undefined` where it makes none. */
async function patienceFor(response: Response, isOnce: boolean): Promise<number | undefined> {
  const { status, headers } = response
  const afterMs = Number(headers.get('retry-after') ?? Number.NaN) * 1000
  if (Number.isNaN(afterMs) || afterMs > LONGEST_WAIT_MS) return undefined
  if (status === 429 || (isOnce && status === 503)) return afterMs
  if (!isOnce || status !== 409) return undefined
  const problem = (await response
    .clone()
    .json()
    .catch(() => ({}))) as { type?: string }
  return problem.type?.endsWith(':under_way') === true ? afterMs : undefined
}

/** 122 random bits. `crypto.randomUUID` is there on secure pages only, and this one may come over plain HTTP. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
