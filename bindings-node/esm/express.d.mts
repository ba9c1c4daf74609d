export * from './cjs/express.js';
