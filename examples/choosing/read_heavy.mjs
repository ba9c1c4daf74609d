/** The catalogue of `read_heavy.py`, in Node.js: the same keys, tags and entries. */

import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'libsql';
import { CacheManager, key } from 'tidegate';
import { serve } from './serve.mjs';

class Catalogue {
  queries_ = 0;

  open({ url, file, ttl }) {
    this.cache = new CacheManager({
      url,
      service: 'shop',
      ttl,
      ttlJitter: 0,
      staleWhileRevalidate: '1m',
      staleIfError: '1h',
      l1: '16MB',
      commandTimeout: '2s',
    });
    this.product = this.cache.wrap(
      (/** @type {number} */ shelf, /** @type {number} */ number) => {
        this.queries_ += 1;
        const database = new Database(file, { readonly: true, fileMustExist: true });
        try {
          return database.prepare('SELECT name, cents FROM products WHERE shelf = ? AND number = ?').get(shelf, number);
        } finally {
          database.close();
        }
      },
      { key: (shelf, number) => key`shop:product:${shelf}:${number}`, tags: (shelf) => [key`shelf:${shelf}`] },
    );
  }

  /** Many callers at once. */
  async ask({ shelf, number, callers }) {
    const answers = await Promise.all(Array.from({ length: callers }, () => this.product(shelf, number)));
    return answers[0];
  }

  /** How long it takes until this price is shown here. */
  async until({ shelf, number, cents, ms }) {
    const began = performance.now();
    while (/** @type {any} */ (await this.product(shelf, number)).cents !== cents) {
      if (performance.now() - began > ms) throw new Error(`the old price after ${ms} ms`);
      await sleep(1);
    }
    return { ms: performance.now() - began };
  }

  queries() {
    return { queries: this.queries_ };
  }

  async close() {
    await this.cache.close();
  }
}

await serve(new Catalogue());
