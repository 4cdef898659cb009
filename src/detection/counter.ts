/**
 * Whether the values count something up for ever (requests served, bytes sent): they never fall, except back to nearly nothing, and they mostly grow.
 * Such a series is judged by how much it grows.
 */
export function looksLikeCounter(values: ArrayLike<number>, length: number): boolean {
  let rises = 0
  let resets = 0
  for (let i = 1; i < length; i++) {
    const before = values[i - 1]!
    const now = values[i]!
    if (before < 0 || now < 0) return false
    if (now > before) rises++
    else if (now < before) {
      if (now > before * 0.1) return false
      resets++
    }
  }
  return length >= 32 && rises >= 0.5 * (length - 1) && resets <= Math.max(1, 0.03 * length)
}
