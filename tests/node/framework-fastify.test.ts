import { shopTests } from './support/shop.js';

shopTests('Fastify', ['--import', 'tsx', 'examples/fastify/server.ts']);
