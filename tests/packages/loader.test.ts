/** What a user is told who has no native half, or a wrong one. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { emptyFolder, install, installed, registry, run } from './installed.js';

const LOADS = `
  try {
    console.log(require('tidegate').version);
  } catch ({ name, code, message, cause }) {
    console.log(JSON.stringify({ name, code, message, cause: cause?.message ?? null }));
  }
`;

interface Failed {
  name: string;
  code: string;
  message: string;
  cause: string | null;
}

/** What loading the package in a folder says; `first` is run before. */
async function failed(folder: string, env: NodeJS.ProcessEnv = {}, first = ''): Promise<Failed> {
  const { code, out, err } = await run(folder, process.execPath, ['--eval', first + LOADS], env);
  assert.deepEqual([code, err], [0, '']);
  const told = JSON.parse(out) as Failed;
  assert.deepEqual([told.name, told.code], ['NativeError', 'ERR_TIDEGATE_NATIVE']);
  return told;
}

async function copied(): Promise<string> {
  const folder = await emptyFolder();
  await cp(await installed(), folder, { recursive: true });
  return folder;
}

async function here(): Promise<{ name: string; version: string; file: string }> {
  const all = Object.keys((await registry()).manifest('tidegate').optionalDependencies ?? {});
  const libc = (process.report.getReport() as { header: { glibcVersionRuntime?: string } }).header.glibcVersionRuntime;
  const [name = ''] = all.filter(
    (one) => one.includes(`${process.platform}-${process.arch}`) && !one.endsWith(libc ? '-musl' : '-gnu'),
  );
  const { version } = (await registry()).manifest('tidegate');
  return { name, version, file: join('node_modules', name, `tidegate.${name.split('/')[1]}.node`) };
}

test('a half that was left out is named, with the commands that install it', async () => {
  const folder = await emptyFolder();
  await install(folder, '--omit=optional', 'tidegate');
  const { name, version } = await here();
  const { message, cause } = await failed(folder);
  assert.match(
    message,
    new RegExp(`^the native half of tidegate ${version} cannot be loaded \\(${process.platform} ${process.arch}`),
  );
  assert.ok(message.includes(`\n  ${name}: it is not installed\n`), message);
  assert.ok(message.includes(`npm install --include=optional tidegate@${version}\n`), message);
  assert.match(
    message,
    new RegExp(`npm install --os=${process.platform} --cpu=${process.arch}.* tidegate@${version}\n`),
  );
  for (const word of ['Docker', 'Lambda', '--external:tidegate', 'serverExternalPackages', 'docs/packages.md']) {
    assert.ok(message.includes(word), word);
  }
  assert.ok(cause !== null);
  const imported = await run(folder, process.execPath, ['--input-type=module', '--eval', "import 'tidegate';"]);
  assert.equal(imported.code, 1);
  assert.ok(imported.err.includes(message) && imported.err.includes("code: 'ERR_TIDEGATE_NATIVE'"), imported.err);
  // One cause, and not all that led there.
  assert.ok(imported.err.split('\n').length < 40, imported.err);
  const { code, out, err } = await run(folder, process.execPath, [
    'node_modules/tidegate/dist/cjs/command.js',
    '--version',
  ]);
  assert.deepEqual([code, out.trim(), err.trim()], [1, '', message]);
  // The commands do what they say.
  await install(folder, '--include=optional', `tidegate@${version}`);
  assert.equal((await run(folder, process.execPath, ['--eval', LOADS])).out, version);
});

test('a file that cannot be loaded is told with the reason of the system', async () => {
  const folder = await copied();
  const { name, file } = await here();
  writeFileSync(join(folder, file), 'of another kind of machine, say '.repeat(9));
  const { message, cause } = await failed(folder);
  assert.match(message, new RegExp(`\n  ${name}: .*(invalid ELF header|not a mach-o|not a valid Win32)`));
  assert.ok(cause !== null && message.includes(cause.split('\n')[0] ?? ' '));
});

test('a half of another release is refused', async () => {
  const folder = await copied();
  const { name, version } = await here();
  const manifest = join(folder, 'node_modules', 'tidegate', 'package.json');
  writeFileSync(manifest, readFileSync(manifest, 'utf8').replace(`"version": "${version}"`, '"version": "99.0.0"'));
  const { message } = await failed(folder);
  assert.ok(message.includes(`\n  ${name}: it is of tidegate ${version}, this is 99.0.0\n`), message);
  assert.ok(message.includes('npm install --include=optional tidegate@99.0.0\n'));
});

test('TIDEGATE_NATIVE_PATH names a file wherever it lies, and that alone is tried', async () => {
  const folder = await copied();
  const { name, file, version } = await here();
  await cp(join(folder, file), join(folder, 'elsewhere.bin'));
  const loaded = await run(folder, process.execPath, ['--eval', LOADS], { TIDEGATE_NATIVE_PATH: 'nowhere.node' });
  assert.match(loaded.out, /nowhere\.node: .*(No such file|cannot open|no such file)/);
  assert.ok(!loaded.out.includes(name));
  await rm(join(folder, 'node_modules', name), { recursive: true });
  for (const path of ['elsewhere.bin', join(folder, 'elsewhere.bin')]) {
    const { out, err } = await run(folder, process.execPath, ['--eval', LOADS], { TIDEGATE_NATIVE_PATH: path });
    assert.deepEqual([out, err], [version, '']);
  }
});

test('a platform that it is not built for is told so', async () => {
  const { message } = await failed(
    await installed(),
    {},
    "Object.defineProperty(process, 'arch', { value: 'riscv64' });",
  );
  assert.match(message, /There is none for this platform\. There are: darwin-arm64, /);
  assert.match(message, /TIDEGATE_NATIVE_PATH/);
  assert.ok(!message.includes('npm install'));
});

test('the C library is that of the running program; where nothing tells it, both are tried', {
  skip: process.platform !== 'linux',
}, async () => {
  const folder = await emptyFolder();
  await install(folder, '--omit=optional', 'tidegate');
  const program = (loader: string) => {
    const file = join(folder, `program-${loader.length}`);
    writeFileSync(file, `\x7fELF${'\0'.repeat(500)}${loader}\0`);
    return `Object.defineProperty(process, 'execPath', { value: ${JSON.stringify(file)} });`;
  };
  const tried = ({ message }: Failed) =>
    [...message.matchAll(/^ {2}@tidegate\/linux-\w+-(\w+): /gm)].map(([, libc]) => libc);
  assert.deepEqual(tried(await failed(folder, {}, program('/lib/ld-musl-x86_64.so.1'))), ['musl']);
  assert.deepEqual(tried(await failed(folder, {}, program('/lib64/ld-linux-x86-64.so.2'))), ['gnu']);
  const report = (given: string) => `${program('static')} process.report.getReport = () => (${given});`;
  assert.deepEqual(tried(await failed(folder, {}, report("{ header: { glibcVersionRuntime: '2.36' } }"))), ['gnu']);
  const musl = "{ header: {}, sharedObjects: ['/lib/ld-musl-x86_64.so.1'] }";
  assert.deepEqual(tried(await failed(folder, {}, report(musl))), ['musl']);
  assert.deepEqual(tried(await failed(folder, {}, report('{ header: {} }'))), ['gnu', 'musl']);
});
