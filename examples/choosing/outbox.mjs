/** A service that caches the names of `outbox.py`, and hears of every change. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { CacheManager, key } from 'tidegate';
import { serve } from './serve.mjs';

class Pages {
  heard_ = new Set();

  async open({ url, dsn }) {
    this.database = new pg.Pool({ connectionString: dsn });
    // The ttl is what bounds a change that nobody told of.
    this.cache = new CacheManager({ url, service: 'pages', ttl: '1h', commandTimeout: '2s' });
    const subscription = this.cache.onEvent('user.renamed', ({ id }, event) => {
      this.heard_.add(event.id);
      return key`user:name:${id}`; // it is given again where this fails, or the store does not confirm
    });
    await subscription.started();
  }

  name(user) {
    return this.cache.get(key`user:name:${user}`, async () => {
      const { rows } = await this.database.query('SELECT name FROM users WHERE id = $1', [user]);
      return rows[0].name;
    });
  }

  async names({ users }) {
    return { names: await Promise.all(users.map((user) => this.name(user))) };
  }

  async until({ user, name, ms }) {
    const end = performance.now() + ms;
    while ((await this.name(user)) !== name) {
      if (performance.now() > end) throw new Error(`the old name after ${ms} ms`);
      await sleep(1);
    }
  }

  /** How many events have come, once there are so many, and a moment has passed in which others might come. */
  async heard({ events, ms }) {
    const end = performance.now() + ms;
    while (this.heard_.size < events && performance.now() < end) await sleep(20);
    await sleep(300);
    return { events: this.heard_.size };
  }

  async close() {
    await this.cache.close();
    await this.database.end();
  }
}

await serve(new Pages());
