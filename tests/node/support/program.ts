/** Programs that use the package, each in a process of its own. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** The compiler, as an argument of Node's. */
export const TSC = 'node_modules/typescript/bin/tsc';
const PROGRAM_MS = 180_000;

export interface Ended {
  /** Null where a signal ended it, its own or that of our patience. */
  code: number | null;
  signal: string | null;
  out: string;
  /** Warnings and uncaught errors. */
  err: string;
  ms: number;
}

/** Runs Node with these arguments at the root of the repository, where the package is imported by its name. */
export function node(argv: readonly string[], env: NodeJS.ProcessEnv = {}, patienceMs = PROGRAM_MS): Promise<Ended> {
  const began = performance.now();
  return new Promise((resolve) => {
    // What the test runner tells its files by the environment is not for their children.
    const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
    const options = { cwd: ROOT, env: { ...inherited, ...env }, timeout: patienceMs, killSignal: 'SIGKILL' as const };
    const child = execFile(process.execPath, argv, options, (_error, out, err) => {
      const ms = performance.now() - began;
      resolve({ code: child.exitCode, signal: child.signalCode, out: out.trim(), err: err.trim(), ms });
    });
  });
}

/** Runs a module's source; `argv` is `process.argv.slice(1)` there. */
export function program(source: string, ...argv: string[]): Promise<Ended> {
  return node(['--expose-gc', '--input-type=module', '--eval', source, ...argv]);
}
