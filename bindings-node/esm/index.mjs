// One implementation, in CommonJS: two copies would have two classes of each error.
export * from './cjs/index.js';
