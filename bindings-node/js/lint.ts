/** `tidegate lint`: a program of its own beside the native module, because its parsers are as large as the rest. */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';

const PROGRAM = join(__dirname, '..', 'native', process.platform === 'win32' ? 'tidegate-lint.exe' : 'tidegate-lint');

/** Runs the linter with these arguments, on this process's own standard streams; its exit code. */
export function lint(args: readonly string[]): number {
  if (!existsSync(PROGRAM)) {
    process.stderr.write(
      `error: tidegate lint is not part of this installation: ${PROGRAM} is missing\n` +
        'The package of each platform has it. Mend it with: npm install --force tidegate\n',
    );
    return 2;
  }
  const { status, signal, error } = spawnSync(PROGRAM, args, { stdio: 'inherit' });
  if (error !== undefined) {
    process.stderr.write(`error: ${PROGRAM} cannot be run: ${error.message}\n`);
    return 2;
  }
  return status ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}
