/**
 * Loads the native half: in the repository the one that was just built, else that of the platform package which npm
 * installs beside this one. Nothing is run or downloaded to that end. What cannot be loaded says why, and how to mend it.
 */

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fitting, libc, PLATFORMS, type Platform } from './platform.js';

type Native = typeof import('../native/index.cjs');

const { version } = require('../../package.json') as { version: string };

/** One place that was tried, and why it did not do. */
interface Tried {
  readonly place: string;
  readonly why: string;
}

/** No native half could be loaded. Nobody can import its class, since the import has failed: it is told by its code. */
class NativeError extends Error {
  readonly code = 'ERR_TIDEGATE_NATIVE';

  static {
    this.prototype.name = 'NativeError';
  }
}

/** Its native half, loaded once. */
export const native: Native = load();

function load(): Native {
  const tried: Tried[] = [];
  let cause: unknown;
  const attempt = (place: string, open: () => Native): Native | undefined => {
    try {
      const found = open();
      const release = typeof found.version === 'function' ? found.version() : undefined;
      if (release === version) return found;
      const why =
        release === undefined ? 'it is no part of tidegate' : `it is of tidegate ${release}, this is ${version}`;
      tried.push({ place, why });
    } catch (error) {
      cause ??= error;
      const [why = ''] = (error as Error).message.split('\n');
      tried.push({ place, why });
    }
    return undefined;
  };

  const { TIDEGATE_NATIVE_PATH: given } = process.env;
  if (given) {
    // Who names a file means that one.
    const found = attempt(given, () => opened(resolve(given)));
    if (found !== undefined) return found;
  } else {
    for (const platform of fitting()) {
      const built = join(__dirname, '..', 'native', `tidegate.${platform}.node`);
      const found =
        (existsSync(built) ? attempt(built, () => opened(built)) : undefined) ??
        attempt(`@tidegate/${platform}`, () => packaged(platform));
      if (found !== undefined) return found;
    }
  }
  throw new NativeError(explained(given, tried), { cause });
}

/** Not by `require`, which bundlers want to follow: such a file is not part of the package. */
function opened(file: string): Native {
  const made = { exports: {} };
  process.dlopen(made, file);
  return made.exports as Native;
}

/** Each name stands here as a text, and within `try`: so bundlers and tracers of files see what there is, and miss nothing. */
function packaged(platform: Platform): Native {
  try {
    switch (platform) {
      case 'darwin-arm64':
        return require('@tidegate/darwin-arm64') as Native;
      case 'darwin-x64':
        return require('@tidegate/darwin-x64') as Native;
      case 'linux-arm64-gnu':
        return require('@tidegate/linux-arm64-gnu') as Native;
      case 'linux-arm64-musl':
        return require('@tidegate/linux-arm64-musl') as Native;
      case 'linux-x64-gnu':
        return require('@tidegate/linux-x64-gnu') as Native;
      case 'linux-x64-musl':
        return require('@tidegate/linux-x64-musl') as Native;
      case 'win32-arm64-msvc':
        return require('@tidegate/win32-arm64-msvc') as Native;
      case 'win32-x64-msvc':
        return require('@tidegate/win32-x64-msvc') as Native;
    }
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    // Node.js prints each cause with all that required it, and this one says nothing that the text does not.
    throw isMissing ? new Error('it is not installed') : error;
  }
}

function explained(given: string | undefined, tried: readonly Tried[]): string {
  const { platform, arch, version: node } = process;
  const { bun, deno } = process.versions;
  const runtime = bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : `Node.js ${node}`;
  const here = [platform, arch, ...(libc ? [libc] : [])].join(' ');
  const lines = [`the native half of tidegate ${version} cannot be loaded (${here}, ${runtime})`];
  for (const { place, why } of tried) lines.push(`  ${place}: ${why}`);
  if (given) {
    lines.push('TIDEGATE_NATIVE_PATH names that file. Without it, the package of this platform is loaded.');
  } else if (tried.length === 0) {
    lines.push(
      `There is none for this platform. There are: ${PLATFORMS.join(', ')}.`,
      'Built from the sources, a file of your own is loaded by TIDEGATE_NATIVE_PATH=/path/to/tidegate.node.',
    );
  } else {
    const flags = `--os=${platform} --cpu=${arch}${libc ? ` --libc=${libc}` : ''}`;
    lines.push(
      'It is a package of its own for each platform, an optional dependency of this one. What to do:',
      `  npm install --include=optional tidegate@${version}`,
      'Where node_modules or its lock file comes from another platform (an image of Docker, an archive for Lambda):',
      `  npm install ${flags} tidegate@${version}`,
      'In a bundle, leave tidegate out of it: --external:tidegate for esbuild, externals for webpack,',
      "serverExternalPackages: ['tidegate'] for Next.js; and ship node_modules/tidegate and node_modules/@tidegate.",
    );
  }
  lines.push('More: docs/packages.md in the repository of tidegate.');
  return lines.join('\n');
}
