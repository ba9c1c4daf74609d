// One implementation, in CommonJS: managers are told by their class. Nest itself is loaded as the program loads it.
import * as common from '@nestjs/common';
import * as core from '@nestjs/core';
import { use } from './cjs/nestjs-common.js';

export * from './cjs/nestjs.js';

use(common, core);
