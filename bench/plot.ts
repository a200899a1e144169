/** A small plot of lines as SVG, both axes logarithmic. */

export interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

export interface Plot {
  readonly title: string
  readonly x: string
  readonly y: string
  readonly series: readonly Series[]
}

const WIDTH = 640
const HEIGHT = 360
const FRAME = { left: 80, right: 20, top: 40, bottom: 55 }
const COLORS = ['#1f6feb', '#d1570c', '#2da44e', '#8250df']

export function plotSvg({ title, x, y, series }: Plot): string {
  const points = series.flatMap((each) => each.points)
  const across = axis(
    points.map(([value]) => value),
    FRAME.left,
    WIDTH - FRAME.right,
  )
  const up = axis(
    points.map(([, value]) => value),
    HEIGHT - FRAME.bottom,
    FRAME.top,
  )
  const lines: string[] = []
  for (const { at, label } of across.ticks) {
    lines.push(`<path d="M${at} ${FRAME.top}V${HEIGHT - FRAME.bottom}" stroke="#ddd"/>`)
    lines.push(`<text x="${at}" y="${HEIGHT - FRAME.bottom + 18}" text-anchor="middle">${label}</text>`)
  }
  for (const { at, label } of up.ticks) {
    lines.push(`<path d="M${FRAME.left} ${at}H${WIDTH - FRAME.right}" stroke="#ddd"/>`)
    lines.push(`<text x="${FRAME.left - 8}" y="${at + 4}" text-anchor="end">${label}</text>`)
  }
  for (const [index, each] of series.entries()) {
    const color = COLORS[index % COLORS.length]
    const places = each.points.map(([px, py]) => `${across.place(px)} ${up.place(py)}`)
    lines.push(`<path d="M${places.join('L')}" fill="none" stroke="${color}" stroke-width="2"/>`)
    for (const place of places) {
      const [cx, cy] = place.split(' ')
      lines.push(`<circle cx="${cx}" cy="${cy}" r="3.5" fill="${color}"/>`)
    }
    const key = FRAME.left + 10 + index * 170
    lines.push(`<path d="M${key} ${FRAME.top - 10}h20" stroke="${color}" stroke-width="2"/>`)
    lines.push(`<text x="${key + 26}" y="${FRAME.top - 6}">${escape(each.name)}</text>`)
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
<text x="${WIDTH / 2}" y="16" text-anchor="middle" font-size="14">${escape(title)}</text>
${lines.join('\n')}
<text x="${WIDTH / 2}" y="${HEIGHT - 12}" text-anchor="middle">${escape(x)}</text>
<text transform="translate(18 ${HEIGHT / 2}) rotate(-90)" text-anchor="middle">${escape(y)}</text>
</svg>
`
}

/** From the power of ten below the least value to the one above the greatest; ticks at 1, 2 and 5 where there is room. */
function axis(values: readonly number[], from: number, to: number) {
  const low = Math.floor(Math.log10(Math.min(...values)))
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))))
  const place = (value: number): number => Math.round(from + ((Math.log10(value) - low) / (high - low)) * (to - from))
  const steps = high - low > 2 ? [1] : [1, 2, 5]
  const ticks = Array.from({ length: high - low + 1 }, (_, exponent) =>
    steps.map((step) => step * 10 ** (low + exponent)),
  )
    .flat()
    .filter((value) => value <= 10 ** high)
    .map((value) => ({ at: place(value), label: short(value) }))
  return { place, ticks }
}

const short = (value: number): string =>
  value >= 1e6 ? `${value / 1e6} M` : value >= 1e4 ? `${value / 1e3} k` : String(value)

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
