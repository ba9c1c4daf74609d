/** Reading a step of a scenario. */
import { type Step, show } from './gate.js';

export function text(step: Step, name: string): string {
  const value = step[name];
  if (typeof value !== 'string') throw new Error(`${show(step)}: ${name} is no text`);
  return value;
}

export function number(step: Step, name: string, otherwise?: number): number {
  const value = step[name] ?? otherwise;
  if (typeof value !== 'number') throw new Error(`${show(step)}: ${name} is no number`);
  return value;
}

export function milliseconds(duration: string): number {
  const [, count, unit] = /^(\d+)(ms|s)$/.exec(duration) ?? [];
  if (count === undefined) throw new Error(`${duration} is no number of ms or s`);
  return Number(count) * (unit === 's' ? 1_000 : 1);
}

/** Options under Node's names. */
export function named(options: unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options ?? {}).map(([name, value]) => [camelCase(name), value]));
}

export function camelCase(name: string): string {
  return name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}
