/** The house rules of the package's TypeScript, as `biome.json` has them: no two files import each other, not even types. */

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { node, ROOT } from './support/program.js';

const RULE = 'suspicious/noImportCycles';

function lint(folder: string) {
  const biome = join(ROOT, 'node_modules/@biomejs/biome/bin/biome');
  const files = join(folder, 'bindings-node/js');
  return node([biome, 'lint', `--only=${RULE}`, '--error-on-warnings', '--config-path', folder, files]);
}

/** A house of these files, under the repository's rules. */
function house(context: TestContext, files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-tidy-'));
  context.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'bindings-node/js'), { recursive: true });
  cpSync(join(ROOT, 'biome.json'), join(folder, 'biome.json'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, 'bindings-node/js', name), text);
  return folder;
}

test('no circle of imports stands in the package', async () => {
  const { code, out, err } = await lint(ROOT);
  assert.equal(code, 0, out + err);
  assert.match(out + err, /Checked \d{2,} files/);
});

test('the rule bites: of values, of types, and through a third file', async (context) => {
  const value = "import { a } from './manager.js';\nexport const b = () => a;\n";
  const type = "import type { A } from './manager.js';\nexport interface B { a: A }\n";
  const inline = "import { type A } from './manager.js';\nexport interface B { a: A }\n";
  const manager = "import type { B } from './port.js';\nexport const a = 1;\nexport interface A { b: B }\n";
  for (const port of [value, type, inline]) {
    const { code, out, err } = await lint(house(context, { 'manager.ts': manager, 'port.ts': port }));
    assert.equal(code, 1, port + out + err);
    assert.match(out + err, /noImportCycles/);
  }
  const third = { 'manager.ts': manager, 'port.ts': "export type { B } from './lease.js';\n", 'lease.ts': type };
  assert.equal((await lint(house(context, third))).code, 1);
  const straight = { 'manager.ts': manager, 'port.ts': 'export interface B { a: 1 }\n' };
  const { code, out, err } = await lint(house(context, straight));
  assert.equal(code, 0, out + err);
});
