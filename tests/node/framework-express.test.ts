import { shopTests } from './support/shop.js';

shopTests('Express', ['--import', 'tsx', 'examples/express/server.ts']);
