import { CacheManager } from 'tidegate';

await using cache = new CacheManager();
const rows = new Map(); // your database here, with the statement above
const sink = (items) => {
  for (const { key, value, order } of items) rows.set(key, { value, order });
};
const totals = cache.writeBehind('totals', sink, { batch: 200, maxDelay: '100ms' });
await totals.put('meter:total:7', 9);
await totals.flush();
if (rows.get('meter:total:7').value !== 9) throw new Error('it has arrived');
