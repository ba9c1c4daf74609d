/** `tidegate lint`: a program of its own in a package of its own, because its parsers are as large as the rest. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PROGRAM, refused, run } from './lint-program.js';

/** What the repository has built; the package has none. */
const BUILT = join(__dirname, '..', 'native', PROGRAM);

/** Runs the linter with these arguments, on this process's own standard streams; its exit code. */
export function lint(args: readonly string[]): number {
  if (existsSync(BUILT)) return run(BUILT, args);
  let installed: string;
  try {
    // Where it was called before where it lies: strict installers show a package only what it depends on.
    installed = require.resolve('tidegate-lint', { paths: [process.cwd(), __dirname] });
  } catch {
    return refused('tidegate lint is a package of its own. Install it with: npm install --save-dev tidegate-lint');
  }
  return (require(installed) as { lint: typeof lint }).lint(args);
}
