/** The module. */

import type {
  BeforeApplicationShutdown,
  DynamicModule,
  FactoryProvider,
  OnApplicationBootstrap,
  OnApplicationShutdown,
} from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import type { Awaitable } from '../awaitable.js';
import { ConfigError } from '../errors.js';
import { timeoutOf } from '../given.js';
import { Requests, type Serving, within } from '../http/shutdown.js';
import { shown } from '../key.js';
import { CacheManager } from '../manager.js';
import { nestCore } from '../nestjs-common.js';
import type { Duration, Options } from '../options.js';
import { TidegateHealth } from './health.js';
import { getCacheToken } from './token.js';

export { getCacheToken } from './token.js';

interface Common {
  /** The name of this manager, where an application has several. */
  name?: string | undefined;
  /** Whether every module may inject it (true). */
  isGlobal?: boolean | undefined;
  /** How long its closing may take, when the application shuts down (30 s). */
  timeout?: Duration | undefined;
}

/** A manager's own options beside the module's; or `cache`, a manager that there is. It is closed with the application. */
export type TidegateModuleOptions = Common & (Options | { cache: CacheManager });

/** What `forRootAsync` takes. */
export interface TidegateModuleAsyncOptions extends Common {
  /** The manager's options, or a manager. */
  // biome-ignore lint/suspicious/noExplicitAny: what is injected is the user's own
  useFactory: (...injected: any[]) => Awaitable<Options | CacheManager>;
  /** What `useFactory` is called with. */
  inject?: FactoryProvider['inject'];
  /** The modules that those are of. */
  imports?: DynamicModule['imports'];
}

/**
 * The module of a manager: `TidegateModule.forRoot({ url, service })` among the imports of the root, several with a `name` each. A
 * manager is injected by its class, or `@InjectCache(name)`. It is closed when the application is, after the requests under way
 * have been answered; `app.enableShutdownHooks()` has that happen on SIGTERM.
 */
// biome-ignore lint/complexity/noStaticOnlyClass: that is what Nest takes for a dynamic module
export class TidegateModule {
  /** A module with a manager of these options, or with the one that is given. */
  static forRoot(options: TidegateModuleOptions = {}): DynamicModule {
    const { name, isGlobal, timeout, ...rest } = options;
    if ('cache' in rest && !(rest.cache instanceof CacheManager)) throw notOne(rest.cache);
    // Made at once: what is wrong with it is told where it stands. It opens nothing before its first use.
    const cache = 'cache' in rest ? rest.cache : new CacheManager(rest);
    return made({ name, isGlobal, timeout }, { useFactory: () => cache });
  }

  /** The same of what a factory gives. */
  static forRootAsync(options: TidegateModuleAsyncOptions): DynamicModule {
    const { useFactory, inject, imports, ...common } = options ?? {};
    if (typeof useFactory !== 'function') {
      throw new ConfigError(
        `useFactory=${shown(useFactory)} is not a function; ` +
          'a right example: forRootAsync({ useFactory: (config) => ({ url: config.redisUrl }), inject: [Config] })',
      );
    }
    const make = async (...injected: unknown[]) => {
      const given = await useFactory(...injected);
      return given instanceof CacheManager ? given : new CacheManager(given);
    };
    return made(common, { useFactory: make, ...(inject === undefined ? {} : { inject }) }, imports);
  }
}

function made(
  { name, isGlobal = true, timeout }: Common,
  how: Pick<FactoryProvider<CacheManager>, 'useFactory' | 'inject'>,
  imports: DynamicModule['imports'] = [],
): DynamicModule {
  const token = getCacheToken(name);
  const patience = timeoutOf({ timeout });
  const closes: FactoryProvider = {
    provide: Symbol(`tidegate closes ${name ?? 'its manager'}`),
    useFactory: (cache: CacheManager, host?: HttpAdapterHost) => new Closes(cache, patience, host),
    inject: [token, { token: nestCore().HttpAdapterHost, optional: true }],
  };
  const health: FactoryProvider = {
    provide: TidegateHealth,
    useFactory: (cache: CacheManager) => new TidegateHealth(cache),
    inject: [token],
  };
  // Of a manager with a name it is made by hand: new TidegateHealth(cache).
  const told = token === CacheManager ? [health] : [];
  return {
    module: TidegateModule,
    global: isGlobal,
    imports,
    providers: [{ provide: token, ...how }, closes, ...told],
    exports: [token, ...told.map(({ provide }) => provide)],
  };
}

/** Closes a manager when Nest has closed its servers. */
class Closes implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown {
  #requests: Requests | undefined;
  #ends = 0;

  constructor(
    private readonly cache: CacheManager,
    private readonly timeout: number,
    private readonly host: HttpAdapterHost | undefined,
  ) {}

  onApplicationBootstrap(): void {
    const server = this.host?.httpAdapter?.getHttpServer() as Partial<Serving> | undefined;
    if (typeof server?.on === 'function') this.#requests = new Requests(server as Serving);
  }

  /**
   * Before anybody's database is closed, which is done in the next step: what runs behind needs it. And Nest waits for
   * connections that are kept open, Fastify's for more than a minute, though nobody uses them.
   */
  async beforeApplicationShutdown(): Promise<void> {
    this.#ends = performance.now() + this.timeout;
    this.#requests?.last();
    const { behind } = this.cache.house.flow;
    await within(this.timeout, (done) => void behind.ended().then(done));
  }

  async onApplicationShutdown(): Promise<void> {
    await this.cache.close({ timeout: Math.max(0, this.#ends - performance.now()) });
    this.#requests?.stop();
  }
}

function notOne(cache: unknown): ConfigError {
  return new ConfigError(`cache=${shown(cache)} is not a CacheManager; a right example: forRoot({ cache })`);
}
