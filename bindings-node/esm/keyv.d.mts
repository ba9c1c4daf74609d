export * from './cjs/keyv.js';
