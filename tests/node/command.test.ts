/** The `tidegate` command as npm installs it. What it does is tested in `cli/tests/command.rs`, on terminals by Python's tests. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as pass } from 'node:timers/promises';
import { CacheManager } from 'tidegate';
import { RedisServer } from './support/redis-server.js';

const manifest = createRequire(import.meta.url).resolve('tidegate/package.json');
const { bin, version } = JSON.parse(readFileSync(manifest, 'utf8')) as { bin: { tidegate: string }; version: string };
const program = join(dirname(manifest), bin.tidegate);
const env = { ...process.env, TIDEGATE_URL: '', TIDEGATE_SERVICE: '' };

const server = new RedisServer();
before(() => server.start());
after(() => server.kill());

function run(...args: string[]) {
  return spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', timeout: 60_000, env });
}

test('it answers, and its exit codes come through', () => {
  const { status, stdout, stderr } = run('--version');
  assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: `tidegate ${version}\n`, stderr: '' });
  const wrong = run('inspekt');
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /similar subcommand exists: 'inspect'/);
  assert.match(readFileSync(program, 'utf8'), /^#!\/usr\/bin\/env node\n/);
});

test('it shows what Node has stored, and ends it', async () => {
  const cache = new CacheManager({ url: server.url, service: 'command', commandTimeout: '5s' });
  try {
    await cache.set('user:profile:42', { name: 'Ada' }, { tags: ['user:42'] });
    const where = ['--url', server.url, '--service', 'command', '--timeout', '20', '--json'];
    const found = run('inspect', 'user:profile:42', ...where);
    assert.equal(found.status, 0, found.stderr);
    const { entry } = JSON.parse(found.stdout);
    assert.deepEqual([entry.counts, entry.value], ['fresh', { name: 'Ada' }]);
    const ended = run('invalidate', '--tag', 'user:42', ...where);
    assert.deepEqual([ended.status, JSON.parse(ended.stdout).confirmed], [0, true]);
    assert.equal(await cache.exists('user:profile:42'), false);
    assert.equal(run('inspect', 'user:profile:43', ...where).status, 1);
  } finally {
    await cache.close();
  }
});

test('Ctrl-C ends it at once', async () => {
  const args = [program, 'bench', '--seconds', '50', '--timeout', '20', '--url', server.url];
  const child = spawn(process.execPath, args, { stdio: 'ignore', env });
  const cache = new CacheManager({ url: server.url, service: 'tidegate-bench', commandTimeout: '5s' });
  try {
    while (!(await cache.exists('bench:key:1'))) await pass(50);
    child.kill('SIGINT');
    assert.deepEqual(await once(child, 'exit'), [null, 'SIGINT']);
  } finally {
    await cache.close();
  }
});
