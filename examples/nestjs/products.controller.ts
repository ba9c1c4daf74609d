import {
  BadRequestException,
  Body,
  Controller,
  Get,
  HttpCode,
  NotFoundException,
  Param,
  ParseIntPipe,
  Put,
} from '@nestjs/common';
import { CacheManager, type Stats } from 'tidegate';
import { CachedResponse, TidegateHealth } from 'tidegate/nestjs';
import { changeOf, type Product, pageOf } from '../shop/products.js';
import { ProductsService } from './products.service.js';

@Controller()
export class ProductsController {
  // Injected by their classes, which `emitDecoratorMetadata` tells Nest. Where that is not at hand (tsx, esbuild) each
  // parameter says it: `@Inject(ProductsService)`.
  constructor(
    private readonly products: ProductsService,
    private readonly cache: CacheManager,
    private readonly health: TidegateHealth,
  ) {}

  @Get('products/:id')
  @CachedResponse({ key: (request) => pageOf(request.params.id), ttl: '1m', maxAge: '5s' })
  async product(@Param('id', ParseIntPipe) id: number): Promise<Product> {
    const found = await this.products.find(id);
    if (found === null) throw new NotFoundException('no such product');
    return found;
  }

  @Put('products/:id')
  @HttpCode(204)
  async update(@Param('id', ParseIntPipe) id: number, @Body() body: unknown): Promise<void> {
    const change = changeOf(body);
    if (change === undefined) throw new BadRequestException('a product is { name, cents }');
    if (!(await this.products.update(id, change))) throw new NotFoundException('no such product');
  }

  // The report takes long: when it is a second old, a client is given it all the same, and it is computed anew behind him.
  @Get('report')
  @CachedResponse({ key: () => 'page:report:all', ttl: '1s', staleWhileRevalidate: '1h', staleIfError: '1h' })
  report(): Promise<{ products: number; cents: number }> {
    return this.products.report();
  }

  @Get('health')
  async isHealthy(): Promise<unknown> {
    const { cache } = await this.health.isHealthy('cache');
    return { ...cache, status: cache.cache };
  }

  @Get('stats')
  stats(): Stats & { queries: number } {
    return { queries: this.products.queries, ...this.cache.stats() };
  }
}
