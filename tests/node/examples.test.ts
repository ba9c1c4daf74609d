/** The examples in the comments of the package run. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const SOURCES = new URL('../../bindings-node/js/', import.meta.url);
// What the reader of a comment has before him.
const PREAMBLE = `
import { CacheManager, helpersOf, key, tag } from 'tidegate';
const cache = new CacheManager();
class UsersOfAnExample {
  @cache.cached({ key: (id: number) => key\`user:example:\${id}\` })
  async getUser(id: number) { return { id }; }
}
const users = new UsersOfAnExample();
{
`;

const files = readdirSync(SOURCES, { encoding: 'utf8', recursive: true }).filter((file) => file.endsWith('.ts'));
const examples = files.flatMap((file) => {
  const text = readFileSync(new URL(file, SOURCES), 'utf8');
  return [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, block = ''], at) => ({
    name: `${file.replaceAll('/', '-')}-${at + 1}`,
    block,
  }));
});

test('there are examples to run', () => {
  assert.ok(examples.length >= 5, `${examples.length}`);
});

for (const { name, block } of examples) {
  test(`the example ${name} runs`, async () => {
    const whole = block.replace(/^\s*\* ?/gm, '').replaceAll('\\@', '@');
    // Imports stand at the top; those of the package itself are there already.
    const imports = whole.match(/^import .*$/gm) ?? [];
    const more = imports.filter((line) => !line.endsWith("from 'tidegate';"));
    const code = whole.replace(/^import .*$/gm, '');
    const file = fileURLToPath(new URL(`.example-${name}.mts`, import.meta.url));
    writeFileSync(file, `${more.join('\n')}\n${PREAMBLE}${code}\n}\n`);
    try {
      const { stderr } = await promisify(execFile)(process.execPath, ['--import', 'tsx', file]);
      assert.equal(stderr, '');
    } finally {
      unlinkSync(file);
    }
  });
}
