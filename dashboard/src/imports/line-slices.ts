/** A piece of a file that ends at a line boundary. */
export interface LineSlice {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** What to add to a line number inside this slice to get the one in the file. */
  readonly lineOffset: number
}

const QUOTE = 0x22
const NEWLINE = 0x0a

/**
 * Cuts a stream into slices of at most about `maxBytes`, each ending at a line's end; for CSV, line ends inside quotes
 * do not count and the header is put in front of every slice. A single line longer than that becomes one slice.
 */
export async function* lineSlices(
  input: ReadableStream<Uint8Array>,
  options: { csv: boolean; maxBytes: number },
): AsyncGenerator<LineSlice> {
  let pending: Uint8Array<ArrayBuffer> = new Uint8Array(0)
  let header: Uint8Array<ArrayBuffer> | undefined = options.csv ? undefined : new Uint8Array(0)
  let scanned = 0
  let quoted = false
  let lines = 0
  let cut = 0
  let linesAtCut = 0
  let linesSent = 0

  const take = (): LineSlice => {
    const lead = header !== undefined && linesSent > 0 ? header : new Uint8Array(0)
    const slice = joined(lead, pending.subarray(0, cut))
    const lineOffset = linesSent === 0 ? 0 : linesSent - (lead.length > 0 ? 1 : 0)
    pending = pending.slice(cut)
    linesSent += linesAtCut
    scanned -= cut
    lines -= linesAtCut
    cut = 0
    linesAtCut = 0
    return { bytes: slice, lineOffset }
  }

  for await (const chunk of chunksOf(input)) {
    pending = joined(pending, chunk)
    for (; scanned < pending.length; scanned++) {
      const byte = pending[scanned]
      if (byte === QUOTE && options.csv) quoted = !quoted
      if (byte !== NEWLINE) continue
      lines++
      if (quoted) continue
      header ??= pending.slice(0, scanned + 1)
      const full = scanned + 1 + header.length > options.maxBytes
      if (full && cut > 0) yield take()
      cut = scanned + 1
      linesAtCut = lines
    }
  }
  // What was cut but not sent, and a last line without an end.
  if (pending.length > 0) {
    cut = pending.length
    yield take()
  }
}

async function* chunksOf(input: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = input.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(first.length + second.length)
  whole.set(first)
  whole.set(second, first.length)
  return whole
}
