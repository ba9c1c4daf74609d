/** The scenarios on a redis-server. */
import { playOn } from './support/conformance.js';

playOn('redis');
