/**
 * Sorts `places[0, count)` and `keys[0, count)` together by key, equal keys by `compare`. Merges the runs that it finds: rows of
 * one region come in order, so those of a span are a few long runs.
 */
export function sortRows(
  places: Uint32Array,
  keys: Float64Array,
  count: number,
  compare: (a: number, b: number) => number,
): void {
  let starts: number[] = [0]
  for (let at = 1; at < count; at++) {
    const before = keys[at - 1] ?? 0
    const key = keys[at] ?? 0
    if (before > key || (before === key && compare(places[at - 1] ?? 0, places[at] ?? 0) > 0)) starts.push(at)
  }
  let from: Columns = { places, keys }
  let to: Columns = starts.length > 1 ? { places: new Uint32Array(count), keys: new Float64Array(count) } : from
  while (starts.length > 1) {
    const merged: number[] = []
    for (let run = 0; run < starts.length; run += 2) {
      const begin = starts[run] ?? 0
      const middle = starts[run + 1] ?? count
      merged.push(begin)
      merge(from, to, begin, middle, starts[run + 2] ?? count, compare)
    }
    starts = merged
    const swapped = from
    from = to
    to = swapped
  }
  if (from.places === places) return
  places.set(from.places)
  keys.set(from.keys)
}

interface Columns {
  readonly places: Uint32Array
  readonly keys: Float64Array
}

/** The runs [begin, middle) and [middle, end) of `from` become one in `to`. */
function merge(
  from: Columns,
  to: Columns,
  begin: number,
  middle: number,
  end: number,
  compare: (a: number, b: number) => number,
): void {
  const { places, keys } = from
  let left = begin
  let right = middle
  let at = begin
  for (; left < middle && right < end; at++) {
    const leftKey = keys[left] ?? 0
    const rightKey = keys[right] ?? 0
    const leftFirst =
      leftKey < rightKey || (leftKey === rightKey && compare(places[left] ?? 0, places[right] ?? 0) <= 0)
    to.keys[at] = leftFirst ? leftKey : rightKey
    to.places[at] = (leftFirst ? places[left++] : places[right++]) ?? 0
  }
  const [rest, stop] = left < middle ? [left, middle] : [right, end]
  to.keys.set(keys.subarray(rest, stop), at)
  to.places.set(places.subarray(rest, stop), at)
}
