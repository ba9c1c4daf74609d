/** Version 2 of the service of `tenants.py`: what it shows has another shape, and it takes version 1's entries over. */

import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'libsql';
import { CacheManager, key } from 'tidegate';
import { serve } from './serve.mjs';

/** From the shape of version 1. */
function splitName({ name }) {
  const [first, last] = name.split(' ');
  return { first, last };
}

class NewService {
  queries = 0;

  open({ url, file }) {
    this.database = new Database(file, { readonly: true, fileMustExist: true });
    this.select = this.database.prepare('SELECT first, last FROM users WHERE tenant = ? AND id = ?');
    this.cache = new CacheManager({
      url,
      service: 'crm',
      version: 2,
      upgrade: { 1: splitName },
      ttl: '1h',
      commandTimeout: '2s',
    });
  }

  profile(host, user) {
    const read = () => {
      this.queries += 1;
      const { first, last } = /** @type {any} */ (this.select.get(host, user));
      return { first, last };
    };
    return this.cache.tenant(host).get(key`user:profile:${user}`, read, { tags: ['users'] });
  }

  async profiles({ host, users }) {
    const before = this.queries;
    const profiles = await Promise.all(users.map((user) => this.profile(host, user)));
    return { profiles, queries: this.queries - before };
  }

  /** Asks until an entry of this version is there. */
  async stored({ host, user, ms }) {
    const before = this.queries;
    const end = performance.now() + ms;
    while (!(await this.cache.tenant(host).exists(key`user:profile:${user}`))) {
      if (performance.now() > end) throw new Error(`nothing is stored after ${ms} ms`);
      await this.profile(host, user);
      await sleep(100);
    }
    return { queries: this.queries - before };
  }

  async invalidate({ host, user }) {
    await this.cache.tenant(host).invalidate(key`user:profile:${user}`, { required: true });
  }

  async close() {
    await this.cache.close();
  }
}

await serve(new NewService());
