import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { node, ROOT, TSC } from './support/program.js';
import { shopTests } from './support/shop.js';

async function compiled(): Promise<void> {
  const { code, out } = await node([TSC, '-p', 'examples/nestjs']);
  assert.equal(code, 0, out);
}

const ready = compiled();
const MAIN = 'examples/nestjs/dist/nestjs/main.js';
shopTests('NestJS', [MAIN], { ready });
shopTests('NestJS on Fastify', [MAIN], { env: { PLATFORM: 'fastify' }, ready, isShort: true });

test('the module and its decorators, as tsx compiles them', async () => {
  const env = { TSX_TSCONFIG_PATH: join(ROOT, 'tests/node/nestjs/tsconfig.json') };
  const { code, out, err } = await node(['--import', 'tsx', '--test', 'tests/node/nestjs/module.ts'], env);
  assert.equal(code, 0, out + err);
  assert.match(out, /^# pass 9$/m);
});

test('their types are those of a program under experimentalDecorators', async () => {
  const { code, out } = await node([TSC, '-p', 'tests/node/nestjs']);
  assert.equal(code, 0, out);
});

test('what the page shows is in the example', () => {
  const read = (path: string) => readFileSync(join(ROOT, path), 'utf8').replace(/\s+/g, ' ');
  const sources = ['main', 'products.controller', 'products.service'].map((name) => read(`examples/nestjs/${name}.ts`));
  const page = readFileSync(join(ROOT, 'docs/frameworks/nestjs.md'), 'utf8');
  const shown = [...page.matchAll(/```text\n([\s\S]*?)```/g)].map(([, text = '']) => text.replace(/\s+/g, ' ').trim());
  assert.equal(shown.length, 3);
  for (const text of shown)
    assert.ok(
      sources.some((source) => source.includes(text)),
      text,
    );
});
