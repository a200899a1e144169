/**
 * Returns what is to be shown every signal that comes along: `aborted` gets the reason when one of them is aborted. Each
 * has one listener, however often it comes, until `life` ends.
 */
export function watchAborts(aborted: (reason: unknown) => void, life: AbortSignal): (signal: AbortSignal) => void {
  const watched = new WeakSet<AbortSignal>()
  return (signal) => {
    if (watched.has(signal)) return
    watched.add(signal)
    signal.addEventListener('abort', () => aborted(signal.reason), { once: true, signal: life })
  }
}
