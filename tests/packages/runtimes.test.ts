/** Bun and Deno: the package as npm installs it, used on a real server by a program that ends by itself. */
import assert from 'node:assert/strict';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { emptyFolder, installed, printed, redisUrl, registry, run } from './installed.js';

const require = createRequire(import.meta.url);
const PROGRAMS = join(import.meta.dirname, 'programs');
const EXE = process.platform === 'win32' ? '.exe' : '';

/** The program that an npm package brings: in its platform package, unless its script has run and moved it to `moved`. */
function programOf(name: string, file: string, moved: string): string {
  const own = createRequire(require.resolve(`${name}/package.json`));
  const { optionalDependencies = {} } = own('./package.json') as { optionalDependencies?: Record<string, string> };
  for (const platform of Object.keys(optionalDependencies)) {
    try {
      return own.resolve(`${platform}/${file}${EXE}`);
    } catch {
      // Of another platform.
    }
  }
  return own.resolve(`./${moved}`);
}

const BUN = () => programOf('bun', 'bin/bun', 'bin/bun.exe');
const DENO = () => programOf('deno', 'deno', `deno${EXE}`);

async function ran(program: string, ...args: string[]): Promise<void> {
  const folder = await installed();
  await cp(PROGRAMS, folder, { recursive: true });
  const { version } = (await registry()).manifest('tidegate');
  const env = { REDIS_URL: await redisUrl(), DENO_NO_UPDATE_CHECK: '1', NO_COLOR: '1' };
  const service = basename(program);
  printed(await run(folder, program, [...args, 'use.mjs', `${service}-esm`], env), `${version} Ada1 Ada1 Ada2 true`);
  printed(
    await run(folder, program, [...args, 'use.cjs', `${service}-cjs`], env),
    `${version} of the main thread true`,
  );
  printed(
    await run(folder, program, [...args, 'use.cjs', `${service}-worker`, 'worker'], env),
    `${version} of the worker true`,
  );
}

test('Bun', () => ran(BUN(), 'run'));

test('Deno', () => ran(DENO(), 'run', '--allow-all', '--node-modules-dir=manual'));

test('Deno takes it from a registry, with no node_modules and no more rights than it needs', async () => {
  const folder = await emptyFolder();
  const from = await registry();
  const source = await readFile(join(PROGRAMS, 'use.mjs'), 'utf8');
  await writeFile(join(folder, 'use.mjs'), source.replace("'tidegate'", "'npm:tidegate'"));
  const env = {
    REDIS_URL: await redisUrl(),
    NPM_CONFIG_REGISTRY: from.url,
    DENO_DIR: join(folder, '.deno'),
    NO_COLOR: '1',
  };
  const rights = ['--node-modules-dir=none', '--allow-env', '--allow-ffi', '--allow-read', '--no-prompt', '--quiet'];
  const ended = await run(folder, DENO(), ['run', ...rights, 'use.mjs', 'taken-by-deno'], env);
  printed(ended, `${from.manifest('tidegate').version} Ada1 Ada1 Ada2 true`);
});

test('Bun installs it', async () => {
  const folder = await emptyFolder();
  const { url } = await registry();
  const args = ['add', '--registry', url, '--ignore-scripts', '--no-progress', 'tidegate'];
  const { code, err } = await run(folder, BUN(), args, { BUN_INSTALL_CACHE_DIR: join(folder, '.bun') });
  assert.equal(code, 0, err);
  await cp(PROGRAMS, folder, { recursive: true });
  const { version } = (await registry()).manifest('tidegate');
  const env = { REDIS_URL: await redisUrl() };
  printed(await run(folder, BUN(), ['run', 'use.mjs', 'installed-by-bun'], env), `${version} Ada1 Ada1 Ada2 true`);
});
