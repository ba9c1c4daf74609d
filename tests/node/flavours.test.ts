/** `@cached` under each flavour of decorators, as tsx and as TypeScript itself compile them; and private methods. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { key } from 'tidegate';
import { type Ended, node, ROOT, TSC } from './support/program.js';
import { onBoth } from './support/stage.js';

const FILE = 'decorators.test';

test('the legacy decorators of tsx work as those of the standard', async () => {
  const env = { TIDEGATE_DECORATORS: 'legacy', TSX_TSCONFIG_PATH: join(ROOT, 'tests/node/legacy/tsconfig.json') };
  passed(await node(['--import', 'tsx', '--test', `tests/node/${FILE}.ts`], env));
});

for (const [flavour, isLegacy] of [
  ['standard', 'false'],
  ['legacy', 'true'],
] as const) {
  test(`the ${flavour} decorators of TypeScript itself work as those of tsx`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-decorators-'));
    try {
      // Where nothing is known of this repository but the package.
      mkdirSync(join(folder, 'node_modules'));
      symlinkSync(ROOT, join(folder, 'node_modules/tidegate'));
      writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
      const project = ['-p', 'tests/node/legacy', '--experimentalDecorators', isLegacy];
      const compiled = await node([
        TSC,
        ...project,
        '--noEmit',
        'false',
        '--rootDir',
        'tests/node',
        '--outDir',
        folder,
      ]);
      assert.equal(compiled.code, 0, compiled.out);
      passed(await node(['--test', join(folder, `${FILE}.js`)], { TIDEGATE_DECORATORS: flavour }));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

function passed({ code, out, err }: Ended): void {
  assert.equal(code, 0, out + err);
  const count = Number(/^# pass (\d+)$/m.exec(out)?.[1]);
  assert.ok(count > 20, out);
}

onBoth('a private method is run once for its arguments, on the object that calls it', async ({ cache }) => {
  class Users {
    constructor(readonly name: string) {}
    getUser(id: number): Promise<string> {
      return this.#load(id);
    }
    @cache.cached({ key: (id: number) => key`user:profile:${id}` })
    async #load(id: number): Promise<string> {
      return `${this.name} ${id}`;
    }
    static fetch(id: number): Promise<string> {
      return Users.#find(id);
    }
    @cache.cached({ key: (id: number) => key`user:found:${id}` })
    static async #find(id: number): Promise<string> {
      return `${Users.name} ${id}`;
    }
  }
  const [one, two] = [new Users('one'), new Users('two')];
  assert.deepEqual([await one.getUser(1), await two.getUser(1), await two.getUser(2)], ['one 1', 'one 1', 'two 2']);
  await cache.invalidate('user:profile:1');
  assert.equal(await two.getUser(1), 'two 1');
  assert.equal(await Users.fetch(1), 'Users 1');
});
