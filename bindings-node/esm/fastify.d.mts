export * from './cjs/fastify.js';
