import assert from 'node:assert/strict';
import { node, TSC } from './support/program.js';
import { shopTests } from './support/shop.js';

async function compiled(): Promise<void> {
  const { code, out } = await node([TSC, '-p', 'examples/nestjs']);
  assert.equal(code, 0, out);
}

const ready = compiled();
const MAIN = 'examples/nestjs/dist/nestjs/main.js';
shopTests('NestJS', [MAIN], {}, ready);
shopTests('NestJS on Fastify', [MAIN], { PLATFORM: 'fastify' }, ready);
