import { isUtf8 } from 'node:buffer'
import { lineTooLong } from './line-blocks.ts'
import { addText } from './ndjson-points.ts'
import { INPUT_LIMITS, type ParsedChunk, type ParseOptions } from './parsed-points.ts'
import { PointCollector } from './point-collector.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const ARRAY_OPEN = 0x5b
const ARRAY_CLOSE = 0x5d
const OBJECT_OPEN = 0x7b
const OBJECT_CLOSE = 0x7d

/** Points of a JSON array, of `{"points": […]}` or of single objects, in chunks; see {@link parsePoints}. */
export async function* parseJson(
  input: AsyncIterable<Uint8Array>,
  options: ParseOptions,
): AsyncGenerator<ParsedChunk> {
  const collector = new PointCollector(options)
  const splitter = new ElementSplitter()
  let element = 0
  for await (const bytes of input) {
    for (const piece of splitter.split(bytes)) {
      element += 1
      addElement(collector, piece, element)
      if (collector.full) yield collector.take()
    }
  }
  for (const piece of splitter.rest()) addElement(collector, piece, element + 1)
  if (splitter.unfinished) collector.reject(element + 1, 'point: not valid JSON (it ends too early)')
  if (collector.pending) yield collector.take()
}

function addElement(collector: PointCollector, bytes: Buffer, element: number): void {
  if (!isUtf8(bytes)) {
    collector.reject(element, 'point: not valid UTF-8')
    return
  }
  addText(collector, bytes.toString('utf8'), element)
}

/**
 * Cuts a JSON document into the texts of its points without holding the document. It follows strings and brackets
 * only; whether an element is JSON is seen when it is parsed.
 */
class ElementSplitter {
  #parts: Buffer[] = []
  #partBytes = 0
  #elements = 0
  /** Depth of brackets at which elements stand: 0 one after another, 1 in an array, 2 in the array under "points". */
  #base = 0
  #depth = 0
  #collecting = false
  #inString = false
  #escaped = false
  #started = false
  /** After the array under "points" everything up to the closing brace is passed over. */
  #skipping = false
  #key: number[] | undefined
  #keyMatches = false
  #keyFollowed = false

  /** The input ends inside of a value. */
  get unfinished(): boolean {
    return this.#depth > 0 || this.#inString
  }

  /** A value outside of all brackets ends with the input. */
  *rest(): Generator<Buffer> {
    if (this.#depth === 0 && !this.#inString && this.#collecting) yield this.#take(Buffer.alloc(0), 0, 0)
  }

  *split(bytes: Uint8Array): Generator<Buffer> {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let from = 0
    for (let at = 0; at < buffer.length; at += 1) {
      const byte = buffer[at]!
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false
        else if (byte === BACKSLASH) {
          this.#escaped = true
          this.#key = undefined
        } else if (byte === QUOTE) this.#endString()
        else if (this.#key !== undefined && this.#key.length < 8) this.#key.push(byte)
        continue
      }
      if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) continue
      if (!this.#started && byte === ARRAY_OPEN) {
        this.#started = true
        this.#base = 1
        this.#depth = 1
        continue
      }
      this.#started = true
      if (this.#opensPoints(byte)) {
        this.#forget()
        this.#base = 2
        this.#depth = 2
        continue
      }
      const ends =
        (byte === COMMA || byte === ARRAY_CLOSE || byte === OBJECT_CLOSE) && this.#depth === this.#base
      if (ends && this.#collecting) {
        yield this.#take(buffer, from, at)
      }
      if (byte === ARRAY_CLOSE || byte === OBJECT_CLOSE) {
        this.#close()
        if (this.#base === 0 && this.#depth === 0 && this.#collecting) {
          yield this.#take(buffer, from, at + 1)
        }
        continue
      }
      if (byte === COMMA && this.#depth === this.#base) continue
      if (!this.#collecting && !this.#skipping) {
        this.#collecting = true
        from = at
      }
      if (byte === QUOTE) this.#startString()
      else if (byte === ARRAY_OPEN || byte === OBJECT_OPEN) this.#depth += 1
    }
    if (this.#collecting) this.#keep(buffer, from, buffer.length)
  }

  #startString(): void {
    this.#inString = true
    this.#keyMatches = false
    if (this.#base === 0 && this.#depth === 1) this.#key = []
  }

  #endString(): void {
    this.#inString = false
    if (this.#key === undefined) return
    this.#keyMatches = Buffer.from(this.#key).toString('latin1') === 'points'
    this.#keyFollowed = false
    this.#key = undefined
  }

  /** True at the bracket after `"points":` in the outermost object. */
  #opensPoints(byte: number): boolean {
    if (!this.#keyMatches) return false
    if (byte === COLON && !this.#keyFollowed) {
      this.#keyFollowed = true
      return false
    }
    this.#keyMatches = false
    return this.#keyFollowed && byte === ARRAY_OPEN
  }

  #close(): void {
    if (this.#depth > 0) this.#depth -= 1
    if (this.#depth >= this.#base || this.#base === 0) return
    this.#skipping = this.#base === 2 && this.#depth === 1
    // After the end of the document single objects may still follow.
    if (this.#depth === 0) this.#base = 0
  }

  #forget(): void {
    this.#parts = []
    this.#partBytes = 0
    this.#collecting = false
  }

  #keep(buffer: Buffer, from: number, to: number): void {
    this.#partBytes += to - from
    if (this.#partBytes > INPUT_LIMITS.maxLineBytes) throw lineTooLong(this.#elements + 1, 'element')
    this.#parts.push(Buffer.from(buffer.subarray(from, to)))
  }

  #take(buffer: Buffer, from: number, to: number): Buffer {
    this.#keep(buffer, this.#parts.length > 0 ? 0 : from, to)
    const element = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)
    this.#elements += 1
    this.#forget()
    return element
  }
}
