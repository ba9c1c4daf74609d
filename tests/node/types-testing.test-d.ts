/** The same of the testing kit. */
import { CacheManager, type TestStore } from 'tidegate';
import { FakeClock, MemoryStore, type RecordedEvents, record, testCache } from 'tidegate/testing';
import { is } from './types.test-d.js';

const clock = new FakeClock({ start: new Date(0), byHand: true });
clock.advance('5m');
const store = new MemoryStore({ clock, seed: 1 });
// A helper of a user's own names what it takes.
const managerOn = (store: TestStore) => new CacheManager({ store, service: 'billing' });
const underTest = managerOn(store);
store.fail('slow', { delay: 50, only: underTest });
is<Disposable>()(store.failing('down'));
is<'confirmed' | 'journalled'>()(record(underTest).one('cache.invalidate').state);
is<CacheManager>()(testCache({ onTestFinished: () => {} }, { ttl: '1m', seed: 1 }).cache);
is<Promise<RecordedEvents>>()(testCache().events.settled());
