/** What a scenario holds in its hands: fallbacks that wait to be let go, calls that are looked at later. */
import assert from 'node:assert/strict';
import type { Context } from 'tidegate';

export type Step = Readonly<Record<string, unknown>>;
export type Seen = { value: unknown } | { error: unknown };
export type Make = (signal?: AbortSignal) => Promise<unknown>;

/** What a fallback ends with, and what it says before. */
export interface End {
  readonly seen: Seen;
  readonly says: Step;
}

export const PATIENCE_MS = 10_000;

/** Says on a context what a step says; gives what the fallback then gives. */
export function say(context: Context, says: Step, value: unknown): unknown {
  if (typeof says.ttl === 'string') context.ttl = says.ttl;
  if (says.tags !== undefined) context.tags = says.tags as string[];
  if (says.skip === true) context.skip();
  return says.not_modified === true ? context.notModified<unknown>() : value;
}

/** A fallback's own error. */
export class Boom extends Error {}

interface Run {
  readonly context: Context;
  end(end: End): void;
}

/** A fallback that a scenario holds and lets go. */
export class Gate {
  #entered = 0;
  #inside: Run[] = [];
  readonly #ends: End[] = [];
  /** What the run that was entered last found as `ctx.stale`. */
  stale: unknown;
  /** The fields that the fetch was asked for that was entered last. */
  asked: readonly string[] = [];
  readonly #gone: Run[] = [];
  readonly #watchers: (() => void)[] = [];

  /** Takes no notice of its signal: in JavaScript nothing ends a function from outside. */
  readonly fallback = (context: Context): Promise<unknown> => {
    this.#entered += 1;
    this.stale = context.stale;
    for (const look of this.#watchers) look();
    return new Promise((resolve, reject) => {
      const run = {
        context,
        end: ({ seen, says }: End) => {
          try {
            if ('error' in seen) reject(seen.error);
            else resolve(say(context, says, seen.value));
          } catch (error) {
            reject(error);
          }
        },
      };
      const end = this.#ends.shift();
      if (end) run.end(end);
      else this.#inside.push(run);
    });
  };

  /** The same for a `persist`, which ends when its signal is aborted. */
  readonly persist = (_: unknown, { signal }: { readonly signal: AbortSignal }): Promise<unknown> => {
    const aborted = new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    return Promise.race([this.fallback({ signal } as Context), aborted]);
  };

  /** The same for a fetch of fields. */
  readonly fetch = (names: string[], { signal }: { readonly signal: AbortSignal }): Promise<Step> => {
    this.asked = names;
    return this.fallback({ signal } as Context) as Promise<Step>;
  };

  /** Waits until the fallback has been entered so many times. */
  async running(times: number): Promise<boolean> {
    const entered = new Promise<boolean>((resolve) => {
      const look = () => {
        if (this.#entered >= times) resolve(true);
      };
      this.#watchers.push(look);
      look();
    });
    return within(entered, PATIENCE_MS / 2, false);
  }

  /** Lets one run end that somebody still wants; the next to begin when there is none. */
  finish(end: End): void {
    this.#gone.push(...this.#inside.filter((run) => run.context.signal.aborted));
    this.#inside = this.#inside.filter((run) => !run.context.signal.aborted);
    const run = this.#inside.shift();
    if (run) run.end(end);
    else this.#ends.push(end);
  }

  /** Ends what still runs. */
  release(): void {
    for (const run of [...this.#inside, ...this.#gone])
      run.end({ seen: { error: new Boom('the scenario is over') }, says: {} });
  }
}

/** A call under way; what it comes to is looked at later. */
export class Call {
  readonly #controller = new AbortController();
  readonly #seen: Promise<Seen>;
  isDone = false;

  constructor(make: Make) {
    this.#seen = this.#run(make);
  }

  async #run(make: Make): Promise<Seen> {
    try {
      return { value: await make(this.#controller.signal) };
    } catch (error) {
      return { error };
    } finally {
      this.isDone = true;
    }
  }

  seen(): Promise<Seen> {
    return within(this.#seen, PATIENCE_MS, { error: new Error(`a call has not ended within ${PATIENCE_MS} ms`) });
  }

  async cancel(): Promise<void> {
    const reason = new Error('cancelled by the scenario');
    this.#controller.abort(reason);
    const seen = await this.seen();
    assert.ok('error' in seen && seen.error === reason, `a cancelled call came to ${show(seen)}`);
  }
}

export async function within<T>(promise: Promise<T>, ms: number, late: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<T>((resolve) => {
    timer = setTimeout(resolve, ms, late);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

export function show(what: Step | Seen): string {
  if ('error' in what && what.error instanceof Error) return `${what.error.name}: ${what.error.message}`;
  return JSON.stringify(what, (_, value) =>
    typeof value === 'symbol' || typeof value === 'bigint' ? `${String(value)}` : value,
  );
}
