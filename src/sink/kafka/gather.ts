/**
 * Puts questions about single names, asked within one turn, into one request of at most `most` names. A name that the
 * answer does not hold is undefined; the error of a request is that of each of its questions.
 */
export function gather<V>(
  ask: (names: readonly string[]) => Promise<ReadonlyMap<string, V>>,
  most: number,
): (name: string) => Promise<V | undefined> {
  let next: { readonly names: Set<string>; readonly answer: Promise<ReadonlyMap<string, V>> } | undefined

  function open() {
    const names = new Set<string>()
    const answer = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      if (next?.names === names) next = undefined
      return ask([...names])
    })
    return { names, answer }
  }

  return async (name) => {
    if (next === undefined || next.names.size >= most) next = open()
    const { names, answer } = next
    names.add(name)
    return (await answer).get(name)
  }
}
