export * from './cjs/prometheus.js';
