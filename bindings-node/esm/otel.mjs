// As index.mjs.
export * from './cjs/otel.js';
