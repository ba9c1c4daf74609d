/** Which of the platform packages fit this process. A test holds the other places that name platforms against this list. */

import { closeSync, openSync, readSync } from 'node:fs';

export type Platform =
  | 'darwin-arm64'
  | 'darwin-x64'
  | 'linux-arm64-gnu'
  | 'linux-arm64-musl'
  | 'linux-x64-gnu'
  | 'linux-x64-musl'
  | 'win32-arm64-msvc'
  | 'win32-x64-msvc';

/** What Node.js calls a platform and a processor, and what fits there; both of a Linux, where its C library is not known. */
const FITTING: Readonly<Record<string, readonly Platform[]>> = {
  'darwin arm64': ['darwin-arm64'],
  'darwin x64': ['darwin-x64'],
  'linux arm64': ['linux-arm64-gnu', 'linux-arm64-musl'],
  'linux x64': ['linux-x64-gnu', 'linux-x64-musl'],
  'win32 arm64': ['win32-arm64-msvc'],
  'win32 x64': ['win32-x64-msvc'],
};

export const PLATFORMS: readonly Platform[] = Object.values(FITTING).flat();

type Libc = 'glibc' | 'musl';

/** The C library of this process; undefined on other systems than Linux, and where nothing tells it. */
export const libc: Libc | undefined = process.platform === 'linux' ? (libcOfProgram() ?? libcOfReport()) : undefined;

/** The platforms that fit this process, the likeliest first; none where tidegate is not built for it. */
export function fitting(): readonly Platform[] {
  const all = FITTING[`${process.platform} ${process.arch}`] ?? [];
  if (libc === undefined) return all;
  return all.filter((name) => name.endsWith('-musl') === (libc === 'musl'));
}

/**
 * By the loader that the running program names near its start. A machine may have both C libraries, so files that lie
 * about say nothing, and no `ldd` is run: tracers of files choke on that, and small images have none.
 */
function libcOfProgram(): Libc | undefined {
  try {
    const head = Buffer.alloc(4096);
    const file = openSync(process.execPath, 'r');
    try {
      readSync(file, head, 0, head.length, 0);
    } finally {
      closeSync(file);
    }
    const [, loader] = /\/ld-(linux|musl)[\w.-]*\.so/.exec(head.toString('latin1')) ?? [];
    return loader === undefined ? undefined : loader === 'musl' ? 'musl' : 'glibc';
  } catch {
    return undefined; // A runtime that may not read itself.
  }
}

function libcOfReport(): Libc | undefined {
  const report = process.report as (typeof process.report & { excludeNetwork?: boolean }) | undefined;
  if (report === undefined) return undefined;
  const asked = report.excludeNetwork ?? false;
  report.excludeNetwork = true; // Else it looks up the names of all peers.
  try {
    const { header, sharedObjects } = report.getReport() as {
      header?: { glibcVersionRuntime?: string };
      sharedObjects?: string[];
    };
    if (header?.glibcVersionRuntime !== undefined) return 'glibc';
    return sharedObjects?.some((file) => /\/(?:libc\.musl-|ld-musl-)/.test(file)) ? 'musl' : undefined;
  } catch {
    return undefined;
  } finally {
    report.excludeNetwork = asked;
  }
}
