/** One listener per signal, however many calls it may cancel: a request's signal is given to many, a server's to all. */

const leavers = new WeakMap<AbortSignal, Leavers>();

class Leavers extends Set<() => void> {
  readonly onAbort = () => {
    for (const leave of this) leave();
  };
}

/** Throws the reason of a signal that is aborted already. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw signal.reason;
}

/** Calls `leave` when `signal` is aborted, unless the function that it gives has been called before. */
export function onAbort(signal: AbortSignal | undefined, leave: () => void): () => void {
  if (signal === undefined) return () => {};
  const all = leavers.get(signal) ?? listening(signal);
  all.add(leave);
  return () => {
    // With nothing left on it, a signal is as if it had never been given.
    if (all.delete(leave) && all.size === 0) {
      signal.removeEventListener('abort', all.onAbort);
      leavers.delete(signal);
    }
  };
}

function listening(signal: AbortSignal): Leavers {
  const all = new Leavers();
  leavers.set(signal, all);
  signal.addEventListener('abort', all.onAbort, { once: true });
  return all;
}
