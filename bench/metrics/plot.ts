/** One bar of a group. */
export interface Bar {
  readonly side: string
  readonly ratio: number
}

/** What is compared, the bars for each side, and what is asked of one of them. */
export interface BarGroup {
  readonly title: string
  readonly bars: readonly Bar[]
  readonly floor?: number
  readonly aim?: number
}

const WIDTH = 860
const LEFT = 270
const RIGHT = 70
const TOP = 76
const BAR = 13
const GAP = 16
const COLOURS = ['#9aa5b1', '#3e7cb1', '#d1603d', '#5b8c5a']

/** Draws ratios to SQLite as bars on a logarithmic axis, from the line at 1 to both sides, with a mark at each floor and aim. */
export function drawRatios(title: string, groups: readonly BarGroup[]): string {
  const sides = [...new Set(groups.flatMap(({ bars }) => bars.map(({ side }) => side)))]
  const all = groups.flatMap(({ bars, floor, aim }) => [
    ...bars.map(({ ratio }) => ratio),
    floor ?? 1,
    aim ?? 1,
  ])
  const low = Math.min(-1, Math.floor(Math.log10(Math.min(...all))))
  const high = Math.max(1, Math.ceil(Math.log10(Math.max(...all))))
  const x = (ratio: number): number =>
    LEFT + ((Math.log10(ratio) - low) / (high - low)) * (WIDTH - LEFT - RIGHT)
  const parts: string[] = []
  let y = TOP
  for (const { title: what, bars, floor, aim } of groups) {
    const bottom = y + bars.length * BAR
    parts.push(label(LEFT - 10, (y + bottom) / 2 + 4, what, 'end'))
    for (const { side, ratio } of bars) {
      const [from, to] = [x(1), x(ratio)].toSorted((a, b) => a - b) as [number, number]
      parts.push(
        `<rect x="${from.toFixed(1)}" y="${y}" width="${(to - from).toFixed(1)}" height="${BAR - 2}" fill="${colour(sides, side)}"/>`,
        label(Math.max(to, x(1)) + 4, y + 10, ratioText(ratio), 'start', 10),
      )
      y += BAR
    }
    for (const [mark, dash] of [
      [floor, ''],
      [aim, ' stroke-dasharray="2 2"'],
    ] as const)
      if (mark !== undefined)
        parts.push(
          `<path d="M${x(mark).toFixed(1)} ${bottom - bars.length * BAR - 3}V${bottom + 1}" stroke="#111"${dash}/>`,
        )
    y += GAP
  }
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i))
  const grid = ticks.map(
    (tick) =>
      `<path d="M${x(tick).toFixed(1)} ${TOP - 8}V${y}" stroke="${tick === 1 ? '#555' : '#ddd'}"/>${label(x(tick), y + 14, `${tick}×`, 'middle')}`,
  )
  const legend = sides.map(
    (side, i) =>
      `<rect x="${LEFT + i * 150}" y="40" width="11" height="11" fill="${colour(sides, side)}"/>${label(LEFT + 16 + i * 150, 50, side, 'start')}`,
  )
  const height = y + 30
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="sans-serif">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    label(20, 24, title, 'start', 15),
    label(20, 50, 'line: floor, dashed: aim', 'start', 11),
    ...legend,
    ...grid,
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

function label(x: number, y: number, text: string, anchor: string, size = 12): string {
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" font-size="${size}" text-anchor="${anchor}">${escaped}</text>`
}

function colour(sides: readonly string[], side: string): string {
  return COLOURS[sides.indexOf(side) % COLOURS.length]!
}

function ratioText(ratio: number): string {
  return `${Number(ratio.toPrecision(2))}×`
}
