#!/usr/bin/env node
/** The `tidegate` command. Nobody here listens to SIGINT, so Ctrl-C ends it while the loop stands still. */

import { lint } from './lint.js';

process.exitCode = process.argv[2] === 'lint' ? lint(process.argv.slice(3)) : command(process.argv.slice(1));

function command(args: string[]): number {
  let native: typeof import('./native.js');
  try {
    native = require('./native.js');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_TIDEGATE_NATIVE') throw error;
    // It says what to do; where in our files it was thrown helps nobody.
    process.stderr.write(`${message}\n`);
    return 1;
  }
  return native.runCommand(args);
}
