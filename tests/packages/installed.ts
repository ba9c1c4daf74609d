/** The packages that `make` packed, installed into folders that have nothing else, and programs run there. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { type Ended, ROOT } from '../node/support/program.js';
import { RedisServer } from '../node/support/redis-server.js';
import { type Manifest, Registry } from './registry.js';

export const PACKED: string = join(ROOT, 'target', 'packages');
const PATIENCE_MS = 120_000;

/** Those of the packages that were built. */
export async function tarballs(): Promise<string[]> {
  const found = (await readdir(PACKED)).filter((name) => name.endsWith('.tgz'));
  assert.ok(found.length >= 4, `${PACKED} has ${found.join()}: make .make/packages`);
  return found.map((name) => join(PACKED, name));
}

let shared: Promise<Registry> | undefined;
after(async () => (await shared)?.close());

/** One registry for all tests of a file. */
export function registry(): Promise<Registry> {
  shared ??= (async () => {
    const { dependencies } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as Manifest;
    const folder = await emptyFolder();
    const wanted = Object.keys(dependencies ?? {}).map((name) => join(ROOT, 'node_modules', name));
    const packed = await run(folder, 'npm', ['pack', '--ignore-scripts', '--silent', ...wanted]);
    assert.equal(packed.code, 0, packed.err);
    return Registry.of([...(await tarballs()), ...packed.out.split('\n').map((file) => join(folder, file))]);
  })();
  return shared;
}

let server: Promise<RedisServer> | undefined;
after(async () => (await server)?.stop());

/** The URL of one real server for all tests of a file. */
export async function redisUrl(): Promise<string> {
  server ??= (async () => {
    const started = new RedisServer();
    await started.start();
    return started;
  })();
  return (await server).url;
}

const folders: string[] = [];
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

/** An empty folder outside of the repository, gone when the tests of the file are done. */
export async function emptyFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tidegate-packages-'));
  folders.push(folder);
  await writeFile(join(folder, 'package.json'), '{ "name": "app", "private": true }\n');
  return folder;
}

let cache: Promise<string> | undefined;

/** Has npm install these by name into a folder. */
export async function install(folder: string, ...args: string[]): Promise<string> {
  const { url } = await registry();
  cache ??= emptyFolder();
  const quiet = ['--no-audit', '--no-fund', '--no-update-notifier', '--ignore-scripts', '--cache', await cache];
  const ended = await run(folder, 'npm', ['install', '--registry', url, ...quiet, ...args]);
  assert.equal(ended.code, 0, ended.err);
  return folder;
}

let plain: Promise<string> | undefined;

/** A folder with `tidegate` installed alone, for all tests of a file that only use it. */
export function installed(): Promise<string> {
  plain ??= emptyFolder().then((folder) => install(folder, 'tidegate'));
  return plain;
}

/** Runs a program in a folder; nothing of the repository's is told to it. */
export function run(
  folder: string,
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  const began = performance.now();
  const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...inherited } = process.env;
  return new Promise((resolve) => {
    const options = {
      cwd: folder,
      env: { ...inherited, ...env },
      timeout: PATIENCE_MS,
      killSignal: 'SIGKILL' as const,
    };
    const child = execFile(program, args, options, (error, out, err) => {
      const why = child.exitCode === null && error ? `${error.message}\n${err}` : err;
      const ms = performance.now() - began;
      resolve({ code: child.exitCode, signal: child.signalCode, out: out.trim(), err: why.trim(), ms });
    });
  });
}

/** It printed this, said nothing else, and ended by itself. */
export function printed({ code, signal, out, err }: Ended, expected: string): void {
  assert.deepEqual({ code, signal, out, err }, { code: 0, signal: null, out: expected, err: '' });
}
