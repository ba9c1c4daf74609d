/** The packages that tidegate is set beside: installed outside the repository, in the folder that `BENCH_PEERS` names. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const folder = process.env.BENCH_PEERS ?? repository;
const { resolve } = createRequire(join(folder, 'package.json'));

/** What the peer of that name exports. */
export async function peer(name) {
  const module = await import(pathToFileURL(resolve(name)).href);
  // A CommonJS package has all of its names on its default.
  return { ...module.default, ...module };
}

/** The version of a peer. */
export function versionOf(name) {
  return versionIn(join(folder, 'node_modules', name));
}

/** The version of what the repository itself uses, or is. */
export function ownVersionOf(name) {
  return versionIn(name === 'tidegate' ? repository : join(repository, 'node_modules', name));
}

function versionIn(place) {
  return JSON.parse(readFileSync(join(place, 'package.json'), 'utf8')).version;
}
