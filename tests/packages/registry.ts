/**
 * A registry of npm's own protocol, for the packages that were just built and what they depend on: so a test installs
 * as a user does, by name, and sees what is asked for. It has every platform; those of other machines hold this one's files.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename } from 'node:path';
import { promisify } from 'node:util';

/** What a test looks at in a package.json. */
export interface Manifest {
  name: string;
  version: string;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  files?: string[];
  scripts?: Record<string, string>;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  [field: string]: unknown;
}

interface Served {
  readonly manifest: Manifest;
  readonly file: string;
}

const LIBC: Readonly<Record<string, string>> = { gnu: 'glibc', musl: 'musl' };

export class Registry {
  /** The files that were downloaded. */
  readonly downloads: string[] = [];
  readonly #packages = new Map<string, Served>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer(async (request, response) => {
      const path = decodeURIComponent((request.url ?? '/').slice(1));
      const [name = '', file] = path.split('/-/');
      const served = this.#packages.get(name);
      if (served === undefined) {
        response.writeHead(404).end('{}');
      } else if (file === undefined) {
        response.setHeader('content-type', 'application/json').end(JSON.stringify(await this.#about(served)));
      } else {
        this.downloads.push(name);
        response.end(await readFile(served.file));
      }
    });
  }

  /** Of these tarballs; what they want besides for other platforms is made up. */
  static async of(tarballs: readonly string[]): Promise<Registry> {
    const registry = new Registry();
    for (const file of tarballs) {
      const manifest = await manifestOf(file);
      registry.#packages.set(manifest.name, { manifest, file });
    }
    for (const { manifest } of [...registry.#packages.values()]) {
      for (const name of Object.keys(manifest.optionalDependencies ?? {})) registry.#stand(name);
    }
    await new Promise<void>((listening) => registry.#server.listen(0, '127.0.0.1', listening));
    return registry;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  /** Of a package that was built, or stands for another platform's. */
  manifest(name: string): Manifest {
    const served = this.#packages.get(name);
    if (served === undefined) throw new Error(`there is no ${name}`);
    return served.manifest;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #stand(name: string): void {
    if (this.#packages.has(name)) return;
    const [prefix, os = '', cpu = '', abi = ''] = /^(.*?)(darwin|linux|win32)-(\w+)-?(\w*)$/.exec(name)?.slice(1) ?? [];
    const own = [...this.#packages.values()].find(
      ({ manifest }) => manifest.os && manifest.name.startsWith(`${prefix}linux`),
    );
    if (own === undefined) throw new Error(`nothing can stand for ${name}`);
    const { libc: _, ...manifest } = own.manifest;
    const libc = LIBC[abi];
    this.#packages.set(name, {
      ...own,
      manifest: { ...manifest, name, os: [os], cpu: [cpu], ...(libc && { libc: [libc] }) },
    });
  }

  async #about({ manifest, file }: Served): Promise<object> {
    const integrity = `sha512-${createHash('sha512')
      .update(await readFile(file))
      .digest('base64')}`;
    const dist = { tarball: `${this.url}${manifest.name}/-/${basename(file)}`, integrity };
    return {
      name: manifest.name,
      'dist-tags': { latest: manifest.version },
      versions: { [manifest.version]: { ...manifest, dist } },
    };
  }
}

const run = promisify(execFile);

export async function manifestOf(tarball: string): Promise<Manifest> {
  return JSON.parse((await run('tar', ['-xzOf', tarball, 'package/package.json'])).stdout) as Manifest;
}

/** The paths in a tarball, without the folder that all are in. */
export async function filesOf(tarball: string): Promise<string[]> {
  const { stdout } = await run('tar', ['-tzf', tarball]);
  return stdout
    .trim()
    .split('\n')
    .map((path) => path.replace(/^package\//, ''));
}
