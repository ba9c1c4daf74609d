/** The public types, as a user's compiler reads them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { node, TSC } from './support/program.js';

test("a user's code has the types that it expects, and what is wrong does not compile", async () => {
  const { code, out } = await node([TSC, '-p', 'tests/node']);
  assert.equal(code, 0, out);
});
