/** The shop's products, in SQLite: what the applications of Express, Fastify and NestJS beside this are about. */
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'libsql';
import { key } from 'tidegate';

export interface Product {
  id: number;
  name: string;
  cents: number;
}

export type Change = Pick<Product, 'name' | 'cents'>;

export class Products {
  /** How often the database was asked. */
  queries = 0;
  readonly #database: InstanceType<typeof Database>;
  readonly #reportMs: number;

  /** `reportMs`: how long the report takes, besides its query. */
  constructor(file: string, reportMs: number) {
    this.#reportMs = reportMs;
    this.#database = new Database(file);
    this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000');
    this.#database.exec('CREATE TABLE IF NOT EXISTS products (id INTEGER PRIMARY KEY, name TEXT, cents INTEGER)');
    this.#database.exec("INSERT OR IGNORE INTO products VALUES (1, 'lamp', 1900), (2, 'chair', 4900)");
  }

  find(id: number): Product | undefined {
    this.queries += 1;
    const [row] = this.#database.prepare('SELECT id, name, cents FROM products WHERE id = ?').all(id) as Product[];
    return row && { id: row.id, name: row.name, cents: row.cents };
  }

  /** Whether there is such a product. */
  update(id: number, { name, cents }: Change): boolean {
    const write = this.#database.prepare('UPDATE products SET name = ?, cents = ? WHERE id = ?');
    return write.run(name, cents, id).changes === 1;
  }

  /** What takes long: nobody wants it any more when `signal` is aborted. */
  async report(signal?: AbortSignal): Promise<{ products: number; cents: number }> {
    this.queries += 1;
    await sleep(this.#reportMs, undefined, signal === undefined ? {} : { signal });
    const all = this.#database.prepare('SELECT cents FROM products').all() as Product[];
    return { products: all.length, cents: all.reduce((sum, { cents }) => sum + cents, 0) };
  }

  close(): void {
    this.#database.close();
  }
}

/** The key of a product's page, of the number that is asked for: `/products/1` and `/products/01` are one page. Null for none. */
export function pageOf(id: unknown): string | null {
  const number = Number(id);
  return Number.isSafeInteger(number) ? key`page:product:${number}` : null;
}

/** The keys of all pages that show a product. */
export function pagesOf(id: unknown): string[] {
  return [pageOf(id), 'page:report:all'].filter((page) => page !== null);
}

/** What a request's body says of a product; undefined for what is none. */
export function changeOf(body: unknown): Change | undefined {
  const { name, cents } = (body ?? {}) as Record<string, unknown>;
  return typeof name === 'string' && Number.isInteger(cents) ? { name, cents: cents as number } : undefined;
}

/** Where the application finds what it needs. */
export const settings = {
  port: Number(process.env.PORT ?? 3000),
  file: process.env.DATABASE ?? 'shop.db',
  reportMs: Number(process.env.REPORT_MS ?? 300),
  cache: {
    url: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379/0',
    service: 'shop',
    commandTimeout: process.env.COMMAND_TIMEOUT ?? '100ms',
  },
};
