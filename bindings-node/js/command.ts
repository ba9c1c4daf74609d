#!/usr/bin/env node
/** The `tidegate` command. Nobody here listens to SIGINT, so Ctrl-C ends it while the loop stands still. */

import { lint } from './lint.js';
import { runCommand } from './native.js';

process.exitCode = process.argv[2] === 'lint' ? lint(process.argv.slice(3)) : runCommand(process.argv.slice(1));
