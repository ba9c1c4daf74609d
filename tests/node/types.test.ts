/**
 * The public types, as a user's compiler reads them. What users may write compiles: `*.test-d.ts`, the examples, and the
 * guide. Of `wrong/*.ts` each marked line does not, and no other fails.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { node, ROOT, TSC } from './support/program.js';

const WRONG = join(ROOT, 'tests', 'node', 'wrong');
/** What may be said more strictly than the repository's own settings do. */
const STRICTEST = {
  skipLibCheck: false,
  noImplicitReturns: true,
  allowUnreachableCode: false,
  allowUnusedLabels: false,
  noUncheckedSideEffectImports: true,
};

/** What the compiler says of a project: a message by `file:line`. */
async function refused(...argv: readonly string[]): Promise<Map<string, string>> {
  const { out, err } = await node([TSC, '--pretty', 'false', ...argv]);
  assert.equal(err, '');
  const found = new Map<string, string>();
  for (const line of out.split('\n')) {
    const told = /^(\S+)\((\d+),\d+\): (error .*)$/.exec(line);
    if (told !== null) found.set(`${basename(told[1] ?? '')}:${told[2]}`, told[3] ?? '');
    else if (line !== '' && !line.startsWith(' ')) found.set(line, 'said of no file');
  }
  return found;
}

/** A folder in the tree, where the package is found by its name, with a project in it. */
async function refusedOf(settings: object, include: readonly string[], write: (folder: string) => void) {
  const folder = mkdtempSync(join(ROOT, 'tests', 'node', '.types-'));
  try {
    write(folder);
    const project = { extends: '../tsconfig.json', compilerOptions: settings, include, exclude: ['dist'] };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(project));
    return await refused('-p', folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function guide(folder: string): void {
  const pages = join(ROOT, 'docs', 'guide');
  for (const page of readdirSync(pages).sort()) {
    const text = readFileSync(join(pages, page), 'utf8');
    for (const [, title, source] of text.matchAll(/^```js(?: title="([^"]+)")?\n(.*?)^```$/gms)) {
      writeFileSync(join(folder, title ?? page.replace('.md', '.mjs')), source ?? '');
    }
  }
}

const examples = readdirSync(join(ROOT, 'examples'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => join('examples', entry.name));
/** Those that are compiled with settings of their own. */
const ownProjects = examples.filter((folder) => existsSync(join(ROOT, folder, 'tsconfig.json')));

test("a user's code has the types that it expects, and what is wrong does not compile", async () => {
  assert.deepEqual(await refused('-p', 'tests/node'), new Map());
});

test('each wrong line is refused, and no other; the examples compile in the strictest setting', async () => {
  const plain = examples.filter((folder) => !ownProjects.includes(folder));
  const include = ['../wrong/*.ts', ...plain.map((folder) => `../../../${folder}/**/*.ts`)];
  const found = await refusedOf(STRICTEST, include, () => {});
  const marked = readdirSync(WRONG).flatMap((file) =>
    readFileSync(join(WRONG, file), 'utf8')
      .split('\n')
      .flatMap((line, at) => (line.includes('// wrong: ') ? [`${file}:${at + 1}`] : [])),
  );
  assert.ok(marked.length >= 100);
  const surprises = [...found].filter(([place]) => !marked.includes(place));
  assert.deepEqual(surprises, []);
  const accepted = marked.filter((place) => !found.has(place));
  assert.deepEqual(accepted, []);
});

test("the guide's JavaScript is right for a compiler that checks it", async () => {
  // JavaScript says nothing of a parameter's type; all else is as strict.
  const settings = { ...STRICTEST, allowJs: true, checkJs: true, noImplicitAny: false };
  assert.deepEqual(await refusedOf(settings, ['*.mjs'], guide), new Map());
});

for (const project of ownProjects) {
  test(`${project} compiles`, async () => {
    assert.deepEqual(await refused('-p', project, '--noEmit', '--skipLibCheck', 'false'), new Map());
  });
}

test('what is not refused has its reason', () => {
  const lines = readdirSync(WRONG).flatMap((file) => readFileSync(join(WRONG, file), 'utf8').split('\n'));
  const reasons = lines.flatMap((line) => line.split('// not refused: ').slice(1));
  assert.ok(reasons.length >= 3);
  assert.deepEqual(
    reasons.filter((reason) => reason.length < 20),
    [],
  );
});
