/** What an editor shows of the public names: each says what it is, and so does each of its members. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from './support/program.js';

const TYPES = join(ROOT, 'dist', 'cjs');
/** What is the language's own, or says it all by its name. */
const PLAIN = new Set([
  'constructor',
  '#private',
  '[Symbol.asyncDispose]',
  '[Symbol.dispose]',
  '[Symbol.iterator]',
  '[inspect.custom]',
]);

interface Package {
  exports: Record<string, string | { require: { types: string } }>;
}

/** The names that a module of the package exports, and the file in which each is declared. */
function exported(file: string): Map<string, string> {
  const text = readFileSync(join(TYPES, file), 'utf8');
  const found = new Map<string, string>();
  for (const [, names, from] of text.matchAll(/^export (?:type )?\{([^}]*)\} from '(\..+?)\.js';$/gms)) {
    for (const name of names?.split(',') ?? []) {
      const bare = name.replace(/\btype\b/, '').trim();
      if (bare !== '') found.set(bare, join(dirname(file), `${from}.d.ts`));
    }
  }
  for (const [, name] of text.matchAll(
    /^export (?:declare )?(?:abstract )?(?:class|interface|type|function|const) (\w+)/gm,
  )) {
    if (name !== undefined) found.set(name, file);
  }
  return found;
}

/** What of a name is without a text: itself, or `Name.member`. */
function silent(name: string, file: string): string[] {
  const lines = readFileSync(join(TYPES, file), 'utf8').split('\n');
  const begins = new RegExp(`^(?:export )?(?:declare )?(?:abstract )?(class|interface|type|function|const) ${name}\\b`);
  const at = lines.flatMap((line, number) => (begins.test(line) ? [number] : []));
  if (at.length === 0) {
    // Handed on from another file.
    const from = exported(file).get(name);
    assert.ok(from !== undefined && from !== file, `${name} of ${file}`);
    return silent(name, from);
  }
  const missing = at.some((number) => isTold(lines, number)) ? [] : [name];
  for (const number of at) {
    if (!/^(?:export )?(?:declare )?(?:abstract )?(?:class|interface) /.test(lines[number] ?? '')) continue;
    missing.push(...silentMembers(name, lines, number));
  }
  return missing;
}

function silentMembers(name: string, lines: readonly string[], first: number): string[] {
  const told = new Map<string, boolean>();
  for (let number = first + 1; !/^\}/.test(lines[number] ?? '}'); number += 1) {
    const member = /^ {4}(?:static |readonly |get |set |abstract )*(#?\w+|\[[^\]]+\])[?]?\s*[(<:;]/.exec(
      lines[number] ?? '',
    );
    const called = member?.[1];
    if (called === undefined || PLAIN.has(called) || /^ {4}private /.test(lines[number] ?? '')) continue;
    // Of a method with several forms one says it.
    told.set(called, (told.get(called) ?? false) || isTold(lines, number));
  }
  return [...told].filter(([, is]) => !is).map(([member]) => `${name}.${member}`);
}

const isTold = (lines: readonly string[], number: number) => /\*\/$/.test(lines[number - 1] ?? '');

const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Package;
const entries = Object.values(exports).flatMap((to) => (typeof to === 'string' ? [] : [to.require.types]));

for (const entry of entries) {
  test(`what ${entry} exports says what it is`, () => {
    const names = exported(entry.replace('./dist/cjs/', ''));
    assert.ok(names.size >= 2, entry);
    assert.deepEqual(
      [...names].flatMap(([name, file]) => silent(name, file)),
      [],
    );
  });
}

test('the names of the package are looked at', () => {
  assert.ok(entries.length >= 4);
  assert.ok(exported('index.d.ts').size > 60);
  assert.deepEqual(silentMembers('X', ['interface X {', '    told: 1;', '}'], 0), ['X.told']);
});
