/** The accounts of `strong.py`, in Node.js: the same rows, the same entries. */

import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import Database from 'libsql';
import { CacheManager, key } from 'tidegate';
import { serve } from './serve.mjs';

const WAY_MS = 5;

class Conflict extends Error {}

const anyOf = (count) => Math.floor(Math.random() * count);

class Bank {
  open({ url, file, accounts }) {
    this.database = new Database(file, { timeout: 30_000 });
    this.select = this.database.prepare('SELECT balance, version FROM accounts WHERE number = ?');
    this.update = this.database.prepare(
      'UPDATE accounts SET balance = ?, version = ? WHERE number = ? AND version = ?',
    );
    this.floors = new Array(accounts).fill(0);
    this.cache = new CacheManager({ url, service: 'bank', ttl: '1h', commandTimeout: '2s' });
  }

  row(number) {
    const { balance, version } = /** @type {any} */ (this.select.get(number));
    return { balance, version };
  }

  /** @returns {Promise<any>} */
  account(number) {
    return this.cache.get(key`bank:account:${number}`, () => this.row(number));
  }

  async deposit(number, amount) {
    for (;;) {
      const before = this.row(number);
      const after = { balance: before.balance + amount, version: before.version + 1 };
      const save = async ({ balance, version }) => {
        const { changes } = this.update.run(balance, version, number, version - 1);
        await sleep(Math.random() * WAY_MS); // of a database on the network
        if (changes === 0) throw new Conflict();
      };
      try {
        await this.cache.writeThrough(key`bank:account:${number}`, after, save);
        return after;
      } catch (error) {
        if (!(error instanceof Conflict)) throw error;
      }
    }
  }

  /** Writers and readers for so long; how many reads were staler than what had been written here. */
  async run({ seconds, writers, readers }) {
    const seen = { writes: 0, reads: 0, stale: 0 };
    const end = performance.now() + seconds * 1000;
    const write = async () => {
      while (performance.now() < end) {
        const number = anyOf(this.floors.length);
        const { version } = await this.deposit(number, 5);
        this.floors[number] = Math.max(this.floors[number], version);
        seen.writes += 1;
      }
    };
    const read = async () => {
      while (performance.now() < end) {
        const number = anyOf(this.floors.length);
        const floor = this.floors[number];
        const { version } = await this.account(number);
        seen.reads += 1;
        if (version < floor) seen.stale += 1;
        await turn();
      }
    };
    await Promise.all([...Array.from({ length: writers }, write), ...Array.from({ length: readers }, read)]);
    return seen;
  }

  async close() {
    await this.cache.close();
  }
}

await serve(new Bank());
