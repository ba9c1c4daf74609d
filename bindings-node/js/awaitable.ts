/** A value, or a promise of it. */
export type Awaitable<T> = T | PromiseLike<T>;

/** Of whichever class: a program may have put a `Promise` of its own in the place of the language's. */
export function isThenable<T>(value: Awaitable<T>): value is PromiseLike<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}
