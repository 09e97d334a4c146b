#!/usr/bin/env node
// Says what the workspace's import rules make of a file that does not exist: reads `{filePath, text}[]` as JSON from stdin, prints
// for each the messages of those rules. Lets a test plant violations without writing into the source tree.
import { text } from 'node:stream/consumers';
import { ESLint } from 'eslint';
import { WORKSPACE } from './ensure.mjs';

const RULES = new Set(['no-restricted-imports', 'no-restricted-globals', 'no-restricted-properties']);

const eslint = new ESLint({
  cwd: WORKSPACE,
  ruleFilter: ({ ruleId }) => RULES.has(ruleId),
  // No types are needed, and the type service would want the file to exist.
  overrideConfig: { languageOptions: { parserOptions: { project: false } } },
});

const results = [];
for (const { filePath, text: source } of JSON.parse(await text(process.stdin))) {
  const [result] = await eslint.lintText(source, { filePath });
  results.push(result.messages.map(({ message }) => message));
}
process.stdout.write(JSON.stringify(results));
