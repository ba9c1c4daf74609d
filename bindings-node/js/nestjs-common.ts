/** Nest's own functions, loaded when the first decorator stands: as the program that is written with them loads them. */

import { ConfigError } from './errors.js';

type Common = typeof import('@nestjs/common');
type Core = typeof import('@nestjs/core');

let known: Common | undefined;
let inner: Core | undefined;

/** The entry for `import` has loaded them in its own way: what it loads may not be loaded by `require` everywhere. */
export function use(common: Common, core: Core): void {
  known = common;
  inner = core;
}

export function nest(): Common {
  known ??= required('@nestjs/common', () => require('@nestjs/common') as Common);
  return known;
}

export function nestCore(): Core {
  inner ??= required('@nestjs/core', () => require('@nestjs/core') as Core);
  return inner;
}

/** Of which there is one copy, however it is loaded. */
export function rx(): typeof import('rxjs') {
  return required('rxjs', () => require('rxjs') as typeof import('rxjs'));
}

function required<T>(name: string, load: () => T): T {
  try {
    return load();
  } catch (cause) {
    throw new ConfigError(`tidegate/nestjs needs NestJS: npm install ${name}`, { cause });
  }
}
