/**
 * `node:diagnostics_channel`: each event on a channel of its own, `tidegate:cache.hit`. Node tells nobody when somebody
 * subscribes, so that is looked at with each call which asks the engine.
 */

import { type Channel, channel } from 'node:diagnostics_channel';
import type { CacheEvent } from './event-types.js';
import { eventTypes } from './native.js';

// Held, so that a channel without subscribers is not let go and made anew.
const channels = new Map<string, Channel>(eventTypes().map((name) => [name, channel(`tidegate:${name}`)]));
const all = [...channels.values()];

/** Whether anybody subscribes to any of them. */
export function isSubscribed(): boolean {
  for (const one of all) if (one.hasSubscribers) return true;
  return false;
}

/** Whether anybody subscribes to this event. */
export function isSubscribedTo(event: string): boolean {
  return channels.get(event)?.hasSubscribers === true;
}

export function publish(event: CacheEvent): void {
  const one = channels.get(event.type);
  if (one?.hasSubscribers) one.publish(event);
}
