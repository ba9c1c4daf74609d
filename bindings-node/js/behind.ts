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

  /** Settled when all have ended that have begun by now. */
  async ended(): Promise<void> {
    await Promise.all(this.#runs);
  }
}
