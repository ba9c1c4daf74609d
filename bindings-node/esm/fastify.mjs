// One implementation, in CommonJS: managers are told by their class.
export * from './cjs/fastify.js';
