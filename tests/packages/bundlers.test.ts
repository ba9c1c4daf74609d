/** Bundles of a user's program, made and run: the recipes of docs/packages.md. */
import assert from 'node:assert/strict';
import { cp, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { nodeFileTrace } from '@vercel/nft';
import * as esbuild from 'esbuild';
import * as vite from 'vite';
import webpack from 'webpack';
import { emptyFolder, installed, printed, redisUrl, registry, run } from './installed.js';

/** A project of a user's with tidegate installed, and a program in it. */
async function project(): Promise<{ folder: string; esm: string; cjs: string }> {
  const folder = await installed();
  await cp(join(import.meta.dirname, 'programs'), folder, { recursive: true });
  return { folder, esm: join(folder, 'use.mjs'), cjs: join(folder, 'use.cjs') };
}

let bundles = 0;

/** Runs a bundle of use.mjs, or of use.cjs. */
async function ran(folder: string, bundle: string, kind: 'esm' | 'cjs' = 'esm'): Promise<void> {
  const { version } = (await registry()).manifest('tidegate');
  const ended = await run(folder, process.execPath, [bundle, `bundled-${++bundles}`], { REDIS_URL: await redisUrl() });
  printed(ended, kind === 'esm' ? `${version} Ada1 Ada1 Ada2 true` : `${version} of the main thread true`);
}

test('esbuild, with tidegate left out', async () => {
  const { folder, esm } = await project();
  const { warnings } = await esbuild.build({
    entryPoints: [esm],
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['tidegate'],
    outfile: join(folder, 'esbuild.mjs'),
  });
  assert.deepEqual(warnings, []);
  await ran(folder, 'esbuild.mjs');
});

test('esbuild, with all of it in the bundle and the native half beside', async () => {
  const { cjs } = await project();
  const folder = await emptyFolder();
  const { warnings } = await esbuild.build({
    entryPoints: [cjs],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    loader: { '.node': 'copy' },
    outfile: join(folder, 'esbuild.cjs'),
  });
  assert.deepEqual(warnings, []);
  assert.equal((await readdir(folder)).filter((name) => name.endsWith('.node')).length, 1);
  await ran(folder, 'esbuild.cjs', 'cjs');
});

test('webpack, with tidegate as one of its externals', async () => {
  const { folder, esm } = await project();
  const stats = await new Promise<webpack.Stats>((resolve, reject) => {
    webpack(
      {
        mode: 'production',
        target: 'node20',
        context: folder,
        entry: esm,
        externals: { tidegate: 'commonjs tidegate' },
        output: { path: folder, filename: 'webpack.cjs' },
      },
      (error, done) => (done ? resolve(done) : reject(error)),
    );
  });
  assert.deepEqual(stats.toJson({ all: false, errors: true, warnings: true }), { errors: [], warnings: [] });
  await ran(folder, 'webpack.cjs');
});

test('vite for a server, packages outside or within', async () => {
  const { folder, esm } = await project();
  for (const ssr of [{}, { noExternal: true as const, external: ['tidegate'] }]) {
    const build = { ssr: esm, outDir: join(folder, 'vite'), rollupOptions: { output: { entryFileNames: 'vite.mjs' } } };
    await vite.build({ root: folder, configFile: false, logLevel: 'error', build, ssr });
    await ran(folder, join('vite', 'vite.mjs'));
  }
});

test('the tracer of Next.js and Vercel finds all that a program needs, and no more', async () => {
  const { folder, esm, cjs } = await project();
  for (const [program, kind] of [
    [esm, 'esm'],
    [cjs, 'cjs'],
  ] as const) {
    const { fileList, warnings } = await nodeFileTrace([program], { base: folder });
    // That seven other platforms are not installed is as it should be.
    const unexpected = [...warnings].filter(({ message }) => !/@tidegate\/(darwin|linux|win32)-/.test(message));
    assert.deepEqual(unexpected, []);
    assert.equal([...fileList].filter((file) => file.endsWith('.node')).length, 1);
    const bundle = await emptyFolder();
    for (const file of fileList) {
      await mkdir(dirname(join(bundle, file)), { recursive: true });
      await cp(join(folder, file), join(bundle, file));
    }
    await ran(bundle, `use.${kind === 'esm' ? 'mjs' : 'cjs'}`, kind);
  }
});
