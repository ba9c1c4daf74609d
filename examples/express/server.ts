/**
 * A shop on Express: `REDIS_URL=redis://127.0.0.1:6379/0 node --import tsx examples/express/server.ts`
 *
 * Each page is computed once for all who ask, in however many processes; a change is seen at once; SIGTERM ends it in order.
 */
import type { AddressInfo } from 'node:net';
import express from 'express';
import { CacheManager } from 'tidegate';
import { cached, closeOn, health } from 'tidegate/express';
import { changeOf, Products, pageOf, pagesOf, settings } from '../shop/products.js';

const cache = new CacheManager(settings.cache);
const products = new Products(settings.file, settings.reportMs);
const app = express();

const product = cached<{ id: string }>(
  cache,
  { key: (req) => pageOf(req.params.id), ttl: '1m', maxAge: '5s' },
  (req, res) => {
    const found = products.find(Number(req.params.id));
    if (found === undefined) res.status(404).json({ error: 'no such product' });
    else res.json(found);
  },
);
app.get('/products/:id', product);

app.put('/products/:id', express.json(), async (req, res) => {
  const change = changeOf(req.body);
  if (change === undefined) return res.status(400).json({ error: 'a product is { name, cents }' });
  const isThere = products.update(Number(req.params.id), change);
  // After the row is written: from now on nobody is given what was read before.
  await cache.invalidate(pagesOf(req.params.id));
  return res.status(isThere ? 204 : 404).end();
});

// The report takes long: when it is a second old, a client is given it all the same, and it is computed anew behind him.
const report = cached(
  cache,
  { key: () => 'page:report:all', ttl: '1s', staleWhileRevalidate: '1h', staleIfError: '1h' },
  async (req, res) => {
    res.json(await products.report(req.signal));
  },
);
app.get('/report', report);

app.get('/health', health(cache));
app.get('/stats', (_req, res) => {
  res.json({ queries: products.queries, ...cache.stats() });
});

const server = app.listen(settings.port, () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
closeOn(server, cache, { onClosed: () => products.close() });
