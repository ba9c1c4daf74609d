/** The native half: takes a call, hands it to the engine, gives the outcome back. What it throws is an error of tidegate's. */

import { Behind, Cache, FakeClock, MemoryStore, Terms } from '../native/index.cjs';
import { ownOf } from './errors.js';

export * from '../native/index.cjs';

type Method = (...given: unknown[]) => unknown;

for (const { prototype } of [Behind, Cache, FakeClock, MemoryStore, Terms]) {
  for (const [name, { value: method }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (typeof method === 'function' && name !== 'constructor') {
      Object.defineProperty(prototype, name, { value: told(method as Method), configurable: true });
    }
  }
}

function told(method: Method): Method {
  return function (this: unknown, ...given: unknown[]): unknown {
    try {
      return method.apply(this, given);
    } catch (error) {
      throw ownOf(error);
    }
  };
}
