/** The scenarios on a Redis Cluster. */
import { playOn } from './support/conformance.js';

playOn('cluster');
