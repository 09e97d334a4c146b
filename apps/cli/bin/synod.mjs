#!/usr/bin/env node
// The `synod` command: bundles the workspace if its sources are newer than the last bundle, then runs in this same process.
import path from 'node:path';
import { createRequire } from 'node:module';
import { ensureBuilt, WORKSPACE } from '../../../tools/build/ensure.mjs';

process.setSourceMapsEnabled(true);
ensureBuilt(['apps']);
createRequire(import.meta.url)(path.join(WORKSPACE, 'dist/apps/cli/main.js'));
