#!/usr/bin/env node
/** The `tidegate` command. Nobody here listens to SIGINT, so Ctrl-C ends it while the loop stands still. */

import { runCommand } from './native.js';

process.exitCode = runCommand(process.argv.slice(1));
