/** `tidegate lint` as the repository builds it; tests/packages has it as npm installs it. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const MODULE = join(import.meta.dirname, '..', '..', 'dist', 'cjs', 'lint.js');

function run(folder: string, module: string, ...args: string[]) {
  const program = 'process.exitCode = require(process.argv[1]).lint(process.argv.slice(2))';
  return spawnSync(process.execPath, ['-e', program, module, ...args], { cwd: folder, encoding: 'utf8' });
}

test('it runs on the same streams, and gives its exit code', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-lint-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'a.ts'), "import { key } from 'tidegate';\nkey('user');\n");
  const found = run(folder, MODULE, '.');
  assert.equal(found.status, 1, found.stderr);
  assert.match(found.stdout, /^a\.ts:2:1: TG002 /);
  assert.equal(run(folder, MODULE, '--select', 'TG005').status, 0);
  const wrong = run(folder, MODULE, '--select', 'TG999');
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /TG999/);
});
