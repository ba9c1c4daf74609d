/** Some scenarios in every other kind of place. */
import { playOn, SOME } from './support/conformance.js';

playOn(...SOME);
