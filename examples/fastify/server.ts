/**
 * A shop on Fastify: `REDIS_URL=redis://127.0.0.1:6379/0 node --import tsx examples/fastify/server.ts`
 *
 * Each page is computed once for all who ask, in however many processes; a change is seen at once; SIGTERM ends it in order.
 */
import fastify from 'fastify';
import { closeOn, health, tidegate } from 'tidegate/fastify';
import { type Change, Products, pagesOf, settings } from '../shop/products.js';

const products = new Products(settings.file, settings.reportMs);
const app = fastify();
app.addHook('onClose', async () => products.close());
await app.register(tidegate, { options: settings.cache });

interface ById {
  Params: { id: number };
}
const params = { type: 'object', properties: { id: { type: 'integer' } }, required: ['id'] };
const product = {
  type: 'object',
  properties: { id: { type: 'integer' }, name: { type: 'string' }, cents: { type: 'integer' } },
};
const change = {
  type: 'object',
  properties: { name: { type: 'string' }, cents: { type: 'integer' } },
  required: ['name', 'cents'],
};

// The key is of the number that the schema has made of the text: `/products/1` and `/products/01` are one page.
app.get<ById>(
  '/products/:id',
  {
    schema: { params, response: { 200: product } },
    config: { cache: { key: 'page:product:{id}', ttl: '1m', maxAge: '5s' } },
  },
  async (request, reply) => {
    const found = products.find(request.params.id);
    return found ?? reply.code(404).send({ error: 'no such product' });
  },
);

app.put<ById & { Body: Change }>('/products/:id', { schema: { params, body: change } }, async (request, reply) => {
  const isThere = products.update(request.params.id, request.body);
  // After the row is written: from now on nobody is given what was read before.
  await app.cache.invalidate(pagesOf(request.params.id));
  return reply.code(isThere ? 204 : 404).send();
});

// The report takes long: when it is a second old, a client is given it all the same, and it is computed anew behind him.
const ofReport = { key: () => 'page:report:all', ttl: '1s', staleWhileRevalidate: '1h', staleIfError: '1h' } as const;
app.get('/report', { config: { cache: ofReport } }, (request) => products.report(request.signal));

app.get('/health', health(app.cache));
app.get('/stats', async () => ({ queries: products.queries, ...app.cache.stats() }));

closeOn(app);
await app.listen({ port: settings.port });
console.log(`listening on ${app.listeningOrigin}`);
