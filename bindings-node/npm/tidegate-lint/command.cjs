#!/usr/bin/env node
process.exitCode = require('./index.js').lint(process.argv.slice(2));
