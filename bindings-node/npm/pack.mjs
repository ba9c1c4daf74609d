/**
 * Packs what goes to npm; nothing is published here.
 *
 *     node bindings-node/npm/pack.mjs [--out dist] [--only main|platform] [--target aarch64-apple-darwin] [--strip]
 *
 * | package | holds |
 * |---|---|
 * | `tidegate` | JavaScript and types; each platform package of the same version as an optional dependency |
 * | `@tidegate/linux-x64-gnu`, … | the native half for one platform: what `dist/native` has of it |
 * | `tidegate-lint`, `@tidegate/lint-linux-x64-gnu`, … | the linter, likewise; its program as `dist/native` has it |
 *
 * With `--target`, as for a release, the program is what cargo made for that target, and no newer glibc is asked for than
 * was promised.
 *
 * Of napi's tools only the reading of targets is used: `create-npm-dirs` gives names without a scope, `artifacts` wants
 * the binaries of all platforms at once and lays them into the root of the repository. No package has a script.
 */

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { parseTriple } from '@napi-rs/cli';
import { checked } from './binary.mjs';

const ROOT = resolve(import.meta.dirname, '..', '..');
const STAGE = join(ROOT, 'target', 'npm');
const PYTHON = process.env.PYTHON ?? (process.platform === 'win32' ? 'python' : 'python3');
const { values: options } = parseArgs({
  options: {
    out: { type: 'string', default: 'dist' },
    only: { type: 'string' },
    target: { type: 'string' },
    // Without its debug figures a dev build is a quarter of the size.
    strip: { type: 'boolean', default: false },
  },
});
const {
  napi,
  files: _,
  devDependencies,
  overrides: __,
  ...root
} = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const targets = napi.targets.map(parseTriple);

rmSync(STAGE, { recursive: true, force: true });
const folders = [];
if (options.only !== 'platform') folders.push(main(), lintMain());
if (options.only !== 'main') folders.push(...platform(await chosen()));
const out = resolve(ROOT, options.out);
mkdirSync(out, { recursive: true });
process.stdout.write(run('npm', ['pack', '--silent', '--pack-destination', out, ...folders]));

/** The target that is named, else that of this machine. */
async function chosen() {
  const { fitting } = await import('../../dist/cjs/platform.js');
  const [host] = fitting();
  const found = targets.find(({ triple, platformArchABI }) =>
    options.target ? triple === options.target : platformArchABI === host,
  );
  if (found === undefined) throw new Error(`${options.target ?? host} is not among napi.targets of package.json`);
  return found;
}

function main() {
  const optional = optionalDependencies('@tidegate/');
  const manifest = { ...root, ...repository(), optionalDependencies: optional };
  const built = (path) => !/\.(node|whl|tgz)$|[\\/]native[\\/]tidegate-lint/.test(path);
  const files = { dist: 'dist', 'README.md': 'README.md', 'CHANGELOG.md': 'CHANGELOG.md' };
  return staged(manifest, files, built);
}

function lintMain() {
  const manifest = {
    ...shared(
      'tidegate-lint',
      "Checks the cache keys in Python, JavaScript and TypeScript sources by tidegate's rules",
    ),
    bin: { 'tidegate-lint': './command.cjs' },
    main: './index.js',
    types: './index.d.ts',
    exports: { '.': { types: './index.d.ts', default: './index.js' }, './package.json': './package.json' },
    optionalDependencies: optionalDependencies('@tidegate/lint-'),
  };
  return staged(manifest, {
    'README.md': 'bindings-node/npm/tidegate-lint/README.md',
    'command.cjs': 'bindings-node/npm/tidegate-lint/command.cjs',
    'index.js': 'dist/cjs/lint-program.js',
    'index.d.ts': 'dist/cjs/lint-program.d.ts',
    'platform.js': 'dist/cjs/platform.js',
  });
}

/** The two packages of one platform. */
function platform({ triple, platformArchABI: name, platform: os, arch, abi }) {
  const fits = { os: [os], cpu: [arch], ...(os === 'linux' && { libc: [abi === 'musl' ? 'musl' : 'glibc'] }) };
  const library = `tidegate.${name}.node`;
  const program = os === 'win32' ? 'tidegate-lint.exe' : 'tidegate-lint';
  return [
    {
      of: 'tidegate',
      full: `@tidegate/${name}`,
      what: 'native half',
      crate: 'tidegate-node',
      file: library,
      main: library,
    },
    { of: 'tidegate-lint', full: `@tidegate/lint-${name}`, what: 'program', crate: 'tidegate-lint', file: program },
  ].map(({ of, full, what, crate, file, main }) => {
    const description = `The ${what} of ${of} for ${name}`;
    // Yarn keeps packages zipped, and nothing can be loaded or run from there.
    const manifest = { ...shared(full, description), ...fits, preferUnplugged: true, main };
    const made = options.target && file === program ? `target/${triple}/release` : 'dist/native';
    const folder = staged(manifest, { [file]: `${made}/${file}` });
    checked(join(folder, file), name, options.target !== undefined);
    const readme = `# ${full}\n\n${description}. Install \`${of}\`: it asks for this one by itself.\n`;
    writeFileSync(join(folder, 'README.md'), readme);
    writeFileSync(join(folder, 'THIRD-PARTY-LICENSES'), run(PYTHON, ['-m', 'tools.third_party', crate]));
    if (options.strip) run('strip', ['-S', join(folder, file)]);
    return folder;
  });
}

function shared(name, description) {
  const { version, license, author, keywords, engines } = root;
  return { name, version, description, keywords, license, author, engines, type: 'commonjs', ...repository() };
}

/** Provenance needs it, and it is told by who builds: a fork publishes under its own. */
function repository() {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: path } = process.env;
  return server && path ? { repository: { type: 'git', url: `git+${server}/${path}.git` } } : {};
}

function optionalDependencies(prefix) {
  return Object.fromEntries(targets.map(({ platformArchABI }) => [`${prefix}${platformArchABI}`, root.version]).sort());
}

/** A folder that is packed as it stands: these files, the licences, the manifest. */
function staged(manifest, files, filter = () => true) {
  const folder = join(STAGE, manifest.name);
  for (const [to, from] of Object.entries({
    ...files,
    'LICENSE-MIT': 'LICENSE-MIT',
    'LICENSE-APACHE': 'LICENSE-APACHE',
  })) {
    if (!existsSync(join(ROOT, from))) throw new Error(`${from} is missing: it is built first`);
    mkdirSync(dirname(join(folder, to)), { recursive: true });
    cpSync(join(ROOT, from), join(folder, to), { recursive: true, filter });
  }
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return folder;
}

/** What a program prints. */
function run(program, args) {
  const { status, error, stdout } = spawnSync(program, args, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 28,
    shell: process.platform === 'win32',
  });
  if (status !== 0) throw new Error(`${basename(program)} ${args[0]} failed${error ? `: ${error.message}` : ''}`);
  return stdout;
}
