/** The licences of what is compiled into a native part: their texts, each once, with the crates that it covers. */

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** As a page, for a crate of the workspace and a target. */
export function licencesOf(root, crate, target) {
  const args = ['metadata', '--format-version', '1', '--locked', '--filter-platform', target];
  const { stdout, status, stderr } = spawnSync('cargo', args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`cargo metadata: ${stderr}`);
  const { packages, resolve } = JSON.parse(stdout);
  const byId = new Map(packages.map((one) => [one.id, one]));
  const isMacro = (id) => byId.get(id).targets.some(({ kind }) => kind.includes('proc-macro'));
  const linked = linkedInto(packages.find(({ name }) => name === crate).id, resolve.nodes, isMacro);
  const texts = new Map();
  for (const { name, version, license, source, manifest_path } of [...linked].map((id) => byId.get(id))) {
    if (source === null) continue; // Our own.
    const covered = `${name} ${version} (${license})`;
    const folder = dirname(manifest_path);
    const files = readdirSync(folder).filter((file) => /^(licen[cs]e|copying|copyright|notice|unlicense)/i.test(file));
    const told = files.map((file) => read(join(folder, file))).filter((text) => text !== undefined);
    // Where a crate has no file of its own, its manifest names the licence.
    for (const text of told.length > 0 ? told : [`(no text of its own: ${license})`]) {
      // Many differ in their line breaks alone.
      const same = text.replace(/\s+/g, ' ');
      const one = texts.get(same) ?? { text, crates: new Set() };
      texts.set(same, { ...one, crates: one.crates.add(covered) });
    }
  }
  const parts = [...texts.values()].map(
    ({ text, crates }) => `## ${[...crates].sort().join(', ')}\n\n${indented(text)}\n`,
  );
  return `# What is compiled into this, and its licences\n\n${parts.sort().join('\n')}`;
}

/** What is built for the target itself: not what only builds or tests it, nor macros. */
function linkedInto(root, nodes, isMacro) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const seen = new Set();
  const waiting = [root];
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (seen.has(id) || isMacro(id)) continue;
    seen.add(id);
    for (const { pkg, dep_kinds } of byId.get(id).deps)
      if (dep_kinds.some(({ kind }) => kind === null)) waiting.push(pkg);
  }
  return seen;
}

function read(file) {
  try {
    return readFileSync(file, 'utf8').replaceAll('\r\n', '\n').trim();
  } catch {
    return undefined; // A folder of that name: the texts in it stand in the manifest's field, too.
  }
}

function indented(text) {
  return text
    .split('\n')
    .map((line) => (line.trim() ? `    ${line.trimEnd()}` : ''))
    .join('\n');
}
