/** Name of a file of the write-ahead log: timeline and number, 24 hexadecimal digits. */
export const SEGMENT_NAME = /^[0-9A-F]{24}$/

/** The name of the segment that holds the byte at a position. */
export function segmentAt(timeline: number, lsn: bigint, segmentBytes: number): string {
  return segmentName(timeline, lsn / BigInt(segmentBytes), segmentBytes)
}

/** The segment after this one on the same timeline. */
export function nextSegment(name: string, segmentBytes: number): string {
  return segmentName(timelineOf(name), segmentNumber(name, segmentBytes) + 1n, segmentBytes)
}

export function timelineOf(name: string): number {
  return Number.parseInt(name.slice(0, 8), 16)
}

/** The position of the first byte of a segment. */
export function startOf(name: string, segmentBytes: number): bigint {
  return segmentNumber(name, segmentBytes) * BigInt(segmentBytes)
}

function segmentNumber(name: string, segmentBytes: number): bigint {
  const perFile = 0x1_0000_0000n / BigInt(segmentBytes)
  return BigInt(`0x${name.slice(8, 16)}`) * perFile + BigInt(`0x${name.slice(16)}`)
}

function segmentName(timeline: number, number: bigint, segmentBytes: number): string {
  const perFile = 0x1_0000_0000n / BigInt(segmentBytes)
  return [BigInt(timeline), number / perFile, number % perFile]
    .map((part) => part.toString(16).toUpperCase().padStart(8, '0'))
    .join('')
}
