const TURNS_MAX = 5;

/** What goes on behind values that have been served: refreshes, and fallbacks past their soft timeout. */
export class Behind {
  readonly #runs = new Set<Promise<unknown>>();

  /** Keeps a run until it ends. Nobody waits for it, so its error is nobody's: it has been told as an event. */
  add(run: Promise<unknown>): void {
    const ended = run.then(
      () => {},
      () => {},
    );
    this.#runs.add(ended);
    void ended.then(() => this.#runs.delete(ended));
  }

  /** Settled when all that runs now has ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#runs);
  }

  /** For when the engine has answered them all: lets them end, which is a matter of turns. */
  async end(): Promise<void> {
    for (let turns = 0; turns < TURNS_MAX && this.#runs.size > 0; turns += 1) await nextTurn();
  }
}

export function nextTurn(): Promise<void> {
  return new Promise((go) => {
    setImmediate(go);
  });
}
