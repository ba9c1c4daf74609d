export * from './cjs/nestjs.js';
