/** The scenarios on memory. */
import { playOn } from './support/conformance.js';

playOn('memory');
