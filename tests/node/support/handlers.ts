/** The handlers of domain events that a scenario has at work. */
import { type CacheManager, type EventDetails, key, type Subscription, tag } from 'tidegate';
import { Boom, type Step } from './gate.js';

interface Data {
  readonly keys?: readonly string[];
  readonly tags?: readonly string[];
  readonly fails?: number;
}

interface Handler {
  readonly subscription: Subscription;
  /** How often it has been called. */
  readonly count: () => number;
}

export class Handlers {
  readonly #all = new Map<string, Handler>();

  /** Begins to handle, and waits until that has begun. */
  async add(manager: CacheManager, step: Step): Promise<void> {
    let count = 0;
    const handler = ({ keys = [], tags = [], fails = 0 }: Data, { attempt }: EventDetails) => {
      count += 1;
      if (attempt <= fails) throw new Boom('not yet');
      return [...keys.map((one) => key(...one.split(':'))), ...tags.map((one) => tag(one))];
    };
    const gaps = step.on_gap as readonly string[] | undefined;
    const onGap = gaps && (() => gaps.map((one) => tag(one)));
    const event = String(step.on_event);
    const subscription = manager.onEvent(event, handler, {
      onGap,
      maxAttempts: step.max_attempts as number | undefined,
    });
    this.#all.set(`${step.manager} ${event}`, { subscription, count: () => count });
    await subscription.started();
  }

  async remove(step: Step): Promise<void> {
    await this.of(step).subscription.close();
  }

  of(step: Step): Handler {
    const name = `${step.manager} ${step.off_event ?? step.handled}`;
    const handler = this.#all.get(name);
    if (handler === undefined) throw new Error(`there is no handler ${name}`);
    return handler;
  }
}
