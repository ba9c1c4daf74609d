/**
 * A shop on NestJS, on Express or (`PLATFORM=fastify`) on Fastify. It is compiled first, since Nest reads what TypeScript says of
 * its classes: `npx tsc -p examples/nestjs && REDIS_URL=redis://127.0.0.1:6379/0 node examples/nestjs/dist/nestjs/main.js`
 */
import 'reflect-metadata';
import { type INestApplication, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { TidegateModule } from 'tidegate/nestjs';
import { settings } from '../shop/products.js';
import { ProductsController } from './products.controller.js';
import { ProductsService } from './products.service.js';

@Module({
  imports: [TidegateModule.forRoot(settings.cache)],
  controllers: [ProductsController],
  providers: [ProductsService],
})
class AppModule {}

const logger = ['error', 'warn'] as ('error' | 'warn')[];
const app: INestApplication =
  process.env.PLATFORM === 'fastify'
    ? await NestFactory.create(AppModule, new FastifyAdapter(), { logger })
    : await NestFactory.create(AppModule, { logger });
// On SIGTERM: requests under way are answered, the manager is closed, and the process exits with 0.
app.enableShutdownHooks([], { useProcessExit: true });
await app.listen(settings.port);
console.log(`listening on ${await app.getUrl()}`);
