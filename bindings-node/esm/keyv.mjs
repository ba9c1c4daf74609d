// One implementation, in CommonJS: managers are told by their class.
export * from './cjs/keyv.js';
