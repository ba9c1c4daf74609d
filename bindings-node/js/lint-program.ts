/** The linter's program, which comes in a package for each platform. This file is the main one of `tidegate-lint`, too. */

import { spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { fitting, PLATFORMS } from './platform.js';

/** How the program is called. */
export const PROGRAM: string = process.platform === 'win32' ? 'tidegate-lint.exe' : 'tidegate-lint';
const USAGE = 2;

/** Runs the linter with these arguments, on this process's own standard streams; its exit code. */
export function lint(args: readonly string[]): number {
  for (const platform of fitting()) {
    const program = programOf(platform);
    if (program !== undefined) return run(program, args);
  }
  const here = `${process.platform}-${process.arch}`;
  return refused(
    fitting().length === 0
      ? `tidegate-lint is not built for ${here}; it is for ${PLATFORMS.join(', ')}`
      : `the program of tidegate-lint for ${here} is not installed: it is an optional dependency\n` +
          'Mend it with: npm install --save-dev --include=optional tidegate-lint',
  );
}

function programOf(platform: string): string | undefined {
  try {
    return require.resolve(`@tidegate/lint-${platform}/${PROGRAM}`);
  } catch {
    return undefined;
  }
}

/** Runs this program likewise. */
export function run(program: string, args: readonly string[]): number {
  const { status, signal, error } = spawnSync(program, args, { stdio: 'inherit' });
  if (error !== undefined) return refused(`${program} cannot be run: ${error.message}`);
  return status ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

/** Says why nothing was linted; the exit code of that. */
export function refused(why: string): number {
  process.stderr.write(`error: ${why}\n`);
  return USAGE;
}
