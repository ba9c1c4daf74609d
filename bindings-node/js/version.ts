import { version as nativeVersion } from './native.js';

/** The version of this package, which is that of its native half. */
export const version: string = nativeVersion();
