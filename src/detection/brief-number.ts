const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

/** The 16 bits that stand for a number of at most 3e38 with two digits and a bit: the upper half of its single precision (bfloat16). */
export function toBrief(value: number): number {
  float[0] = value
  return Math.min(0xffff, (bits[0]! + 0x8000) >>> 16)
}

/** The number that {@link toBrief} meant, exact to 0.4 %. */
export function fromBrief(code: number): number {
  bits[0] = code << 16
  return float[0]!
}
