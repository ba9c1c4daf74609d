/** Takes reports as `ingestion.py` does, into the same queue. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CacheManager, key, StoreUnavailable } from 'tidegate';
import { serve } from './serve.mjs';

class Meters {
  open({ url, options: { partitions, batch, max_delay: maxDelay } }) {
    this.cache = new CacheManager({ url, service: 'meters', ttl: '1h', commandTimeout: '2s' });
    this.queue = this.cache.writeBehind('totals', null, { partitions, batch, maxDelay });
  }

  /** Named, so that a second try does nothing where the first has arrived. */
  async put(name, total) {
    for (;;) {
      try {
        return await this.queue.put(name, total, { operationId: `${name}-${total}` });
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        await sleep(100);
      }
    }
  }

  /** Reports by so many callers, each with meters of its own. */
  async report({ reports, callers, meters }) {
    const latest = {};
    const writes = [];
    const caller = async (number) => {
      for (let turn = number; turn < reports; turn += callers) {
        const name = key`meter:total:node:${number}:${Math.floor(turn / callers) % meters}`;
        writes.push([name, await this.put(name, turn)]);
        latest[name] = turn;
      }
    };
    await Promise.all(Array.from({ length: callers }, (_, number) => caller(number)));
    return { latest, writes };
  }

  async close() {
    await this.cache.close();
  }
}

await serve(new Meters());
