/** The packages for npm as users get them: what they hold, what is installed, and that it works there. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { cp, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../node/support/program.js';
import { emptyFolder, install, installed, printed, redisUrl, registry, run, tarballs } from './installed.js';
import { filesOf, manifestOf } from './registry.js';

const PROGRAMS = join(import.meta.dirname, 'programs');
const { version, napi } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  version: string;
  napi: { targets: string[] };
};
const { PLATFORMS, fitting } = createRequire(import.meta.url)('../../dist/cjs/platform.js') as {
  PLATFORMS: string[];
  fitting(): string[];
};
const [HERE = ''] = fitting();
const LICENCES = ['LICENSE-APACHE', 'LICENSE-MIT'];

/** The folders in node_modules. */
function modules(folder: string): string[] {
  return readdirSync(join(folder, 'node_modules'))
    .filter((name) => !name.startsWith('.'))
    .flatMap((name) =>
      name.startsWith('@') ? readdirSync(join(folder, 'node_modules', name)).map((one) => `${name}/${one}`) : [name],
    )
    .sort();
}

test('every place that names the platforms names the same', async () => {
  assert.equal(napi.targets.length, 8);
  assert.equal(PLATFORMS.length, napi.targets.length);
  const { optionalDependencies } = (await registry()).manifest('tidegate');
  assert.deepEqual(
    optionalDependencies,
    Object.fromEntries([...PLATFORMS].sort().map((one) => [`@tidegate/${one}`, version])),
  );
  const lint = (await registry()).manifest('tidegate-lint').optionalDependencies;
  assert.deepEqual(lint, Object.fromEntries([...PLATFORMS].sort().map((one) => [`@tidegate/lint-${one}`, version])));
  const loader = readFileSync(join(ROOT, 'bindings-node', 'js', 'loader.ts'), 'utf8');
  const required = [...loader.matchAll(/case '([\w-]+)':\s+return require\('@tidegate\/([\w-]+)'\)/g)];
  assert.deepEqual(required.map(([, name]) => name).sort(), [...PLATFORMS].sort());
  for (const [, name, from] of required) assert.equal(name, from);
});

test('a package holds what it says and nothing else, and has no script', async (t) => {
  const script = (name: string) => `dist/cjs/${name}`;
  const sources = readdirSync(join(ROOT, 'bindings-node', 'js'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => [script(name.replace(/ts$/, 'js')), script(name.replace(/ts$/, 'd.ts'))]);
  const entries = readdirSync(join(ROOT, 'bindings-node', 'esm')).map((name) => `dist/${name}`);
  const native = ['dist/native/index.cjs', 'dist/native/index.d.cts', 'dist/cjs/package.json'];
  const own: Record<string, string[]> = {
    tidegate: [...sources, ...entries, ...native, 'CHANGELOG.md'],
    [`@tidegate/${HERE}`]: [`tidegate.${HERE}.node`],
    'tidegate-lint': ['command.cjs', 'index.js', 'index.d.ts', 'platform.js'],
    [`@tidegate/lint-${HERE}`]: ['tidegate-lint'],
  };
  const seen: string[] = [];
  for (const file of await tarballs()) {
    const manifest = await manifestOf(file);
    const held = own[manifest.name];
    if (held === undefined) continue; // What the packages depend on.
    seen.push(manifest.name);
    const ofOthers = manifest.name.startsWith('@') ? ['THIRD-PARTY-LICENSES'] : [];
    assert.deepEqual(
      (await filesOf(file)).sort(),
      [...held, ...ofOthers, ...LICENCES, 'README.md', 'package.json'].sort(),
    );
    assert.equal(manifest.version, version);
    assert.equal(manifest.license, 'MIT OR Apache-2.0');
    for (const gone of ['scripts', 'devDependencies', 'overrides', 'napi', 'private'])
      assert.equal(manifest[gone], undefined, gone);
    if (manifest.name.startsWith('@')) {
      const [os, cpu, abi] = HERE.split('-');
      assert.deepEqual([manifest.os, manifest.cpu], [[os], [cpu]]);
      assert.deepEqual(manifest.libc, abi === 'gnu' ? ['glibc'] : abi === 'musl' ? ['musl'] : undefined);
    }
    t.diagnostic(`${basename(file)}: ${statSync(file).size} bytes`);
  }
  assert.deepEqual(seen.sort(), Object.keys(own).sort());
});

test('a binary is packed for the platform that it is of, by its own word', async () => {
  const { platformOf } = (await import(String(new URL('../../bindings-node/npm/binary.mjs', import.meta.url)))) as {
    platformOf(bytes: Buffer): { name: string; minor: number };
  };
  const own = readFileSync(join(ROOT, 'dist', 'native', `tidegate.${HERE}.node`));
  assert.equal(platformOf(own).name, HERE);
  const elf = (machine: number, text: string) =>
    Buffer.from(`\x7fELF${'\0'.repeat(14)}${String.fromCharCode(machine)}\0${text}`, 'latin1');
  assert.deepEqual(platformOf(elf(183, 'libc.so')), { name: 'linux-arm64-musl', minor: 0 });
  assert.deepEqual(platformOf(elf(62, '\0GLIBC_2.9\0GLIBC_2.34\0')), { name: 'linux-x64-gnu', minor: 34 });
  assert.equal(platformOf(Buffer.from('cffaedfe0c000001', 'hex')).name, 'darwin-arm64');
  const pe = Buffer.alloc(128);
  pe.write('MZ');
  pe.writeUInt32LE(64, 60);
  pe.write('PE', 64);
  pe.writeUInt16LE(0x8664, 68);
  assert.equal(platformOf(pe).name, 'win32-x64-msvc');
});

test('npm installs the package, the half of this platform alone, and runs nothing', async () => {
  const folder = await installed();
  assert.deepEqual(modules(folder), [`@tidegate/${HERE}`, 'lossless-json', 'tidegate'].sort());
  const { downloads } = await registry();
  assert.deepEqual(
    downloads.filter((name) => name.startsWith('@') && !name.endsWith(HERE)),
    [],
  );
});

test('npm takes the half of another platform where it is told to', async () => {
  const folder = await emptyFolder();
  await install(folder, '--os=linux', '--cpu=arm64', '--libc=musl', 'tidegate');
  assert.deepEqual(modules(folder), ['@tidegate/linux-arm64-musl', 'lossless-json', 'tidegate']);
});

test('it works from ESM, from CommonJS and from a Worker, on a real server', async () => {
  const folder = await installed();
  const env = { REDIS_URL: await redisUrl() };
  await cp(PROGRAMS, folder, { recursive: true });
  printed(await run(folder, process.execPath, ['use.mjs', 'esm'], env), `${version} Ada1 Ada1 Ada2 true`);
  printed(await run(folder, process.execPath, ['use.cjs', 'cjs'], env), `${version} of the main thread true`);
  printed(await run(folder, process.execPath, ['use.cjs', 'worker', 'worker'], env), `${version} of the worker true`);
});

test('its command runs, and says what to install for lint', async () => {
  const folder = await emptyFolder();
  await install(folder, 'tidegate');
  const command = join('node_modules', '.bin', 'tidegate');
  printed(await run(folder, command, ['--version']), `tidegate ${version}`);
  await writeFile(join(folder, 'a.ts'), "import { key } from 'tidegate';\nkey('user');\n");
  const without = await run(folder, command, ['lint', 'a.ts']);
  assert.deepEqual([without.code, without.out], [2, '']);
  assert.match(without.err, /^error: .*npm install --save-dev tidegate-lint$/);

  await install(folder, '--save-dev', 'tidegate-lint');
  assert.ok(modules(folder).includes(`@tidegate/lint-${HERE}`));
  for (const [program, ...args] of [[command, 'lint'], [join('node_modules', '.bin', 'tidegate-lint')]] as const) {
    const found = await run(folder, program, [...args, 'a.ts']);
    assert.deepEqual([found.code, found.err], [1, '']);
    assert.match(found.out, /^a\.ts:2:1: TG002 /);
    assert.equal((await run(folder, program, [...args, '--select', 'TG005'])).code, 0);
  }
});

test('the linter alone says what to install where its program is not there', async () => {
  const folder = await emptyFolder();
  await install(folder, '--omit=optional', 'tidegate-lint');
  assert.deepEqual(modules(folder), ['tidegate-lint']);
  const { code, err } = await run(folder, join('node_modules', '.bin', 'tidegate-lint'), ['.']);
  assert.equal(code, 2);
  assert.match(err, /npm install --save-dev --include=optional tidegate-lint$/);
});

test('its types are found by every way of finding modules', async () => {
  const folder = await installed();
  await cp(join(PROGRAMS, 'types.ts'), join(folder, 'types.ts'));
  // The compiler that attw brings is the last that knows node10.
  const [now, five] = ['', '@arethetypeswrong/core'].map((of) => join(ROOT, 'node_modules', of, 'index.js'));
  const compilerOf = (file = '') => join(createRequire(file).resolve('typescript/package.json'), '..', 'bin', 'tsc');
  const compilers = { now: compilerOf(now), five: compilerOf(five) };
  const shared = ['--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2022,esnext.disposable', '--types', 'node'];
  const roots = ['--typeRoots', join(ROOT, 'node_modules', '@types')];
  for (const [compiler, module, resolution] of [
    ['now', 'node16', 'node16'],
    ['now', 'esnext', 'bundler'],
    ['five', 'commonjs', 'node10'],
  ] as const) {
    const options = [...shared, ...roots, '--module', module, '--moduleResolution', resolution];
    const { code, out } = await run(folder, process.execPath, [compilers[compiler], ...options, 'types.ts']);
    assert.equal(code, 0, `${compiler} ${resolution}: ${out}`);
  }
});

test('what looks at packages has nothing to say of these', async () => {
  const bin = (name: string) => join(ROOT, 'node_modules', '.bin', name);
  for (const file of await tarballs()) {
    const lint = await run(ROOT, bin('publint'), ['--strict', file]);
    assert.equal(lint.code, 0, lint.out);
    assert.match(lint.out, /All good!/);
    if ((await manifestOf(file)).name.startsWith('@')) continue; // It has no types.
    const types = await run(ROOT, bin('attw'), [file, '--format', 'ascii']);
    assert.equal(types.code, 0, types.out);
    assert.match(types.out, /No problems found/);
  }
});
