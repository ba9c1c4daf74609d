/** What the controllers ask: the database behind the cache. */
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { key } from 'tidegate';
import { Cached, InvalidateAfter } from 'tidegate/nestjs';
import { type Change, type Product, Products, pagesOf, settings } from '../shop/products.js';

@Injectable()
export class ProductsService implements OnApplicationShutdown {
  readonly #products = new Products(settings.file, settings.reportMs);

  /** Read by the page, and by whatever else asks for the product. */
  @Cached({ key: (id: number) => key`shop:product:${id}`, ttl: '10m', nullTtl: '1s' })
  async find(id: number): Promise<Product | null> {
    return this.#products.find(id) ?? null;
  }

  /** From its end on nobody is given what was read before, here or anywhere. */
  @InvalidateAfter({ keys: (id: number) => [key`shop:product:${id}`, ...pagesOf(id)] })
  async update(id: number, change: Change): Promise<boolean> {
    return this.#products.update(id, change);
  }

  get queries(): number {
    return this.#products.queries;
  }

  report(): Promise<{ products: number; cents: number }> {
    return this.#products.report();
  }

  onApplicationShutdown(): void {
    this.#products.close();
  }
}
