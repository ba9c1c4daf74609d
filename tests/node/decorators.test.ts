/**
 * `@cached` on methods. This file is read twice: as it is, with the standard's decorators, and with those of
 * `experimentalDecorators` (flavours.test.ts), so nothing here is private.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CacheManager, ConfigError, helpersOf, key } from 'tidegate';
import { Held, onBoth, rejection } from './support/stage.js';

const options = { key: (id: number) => key`user:profile:${id}` };

test('the decorators here are of the flavour that is meant', () => {
  const flavours: string[] = [];
  const probe = (_: unknown, second: unknown): void => {
    flavours.push(typeof second === 'object' ? 'standard' : 'legacy');
  };
  class Probed {
    @probe
    method(): void {}
  }
  assert.ok(Probed);
  assert.deepEqual(flavours, [process.env.TIDEGATE_DECORATORS ?? 'standard']);
});

onBoth('a method is run once for its arguments, on its own object', async ({ cache }) => {
  const runs: string[] = [];
  class Users {
    constructor(readonly name: string) {}
    @cache.cached({ ...options, ttl: '1h' })
    async getUser(id: number): Promise<string> {
      runs.push(this.name);
      return `${this.name} ${id}`;
    }
  }
  const [one, two] = [new Users('one'), new Users('two')];
  assert.deepEqual([await one.getUser(1), await two.getUser(1), await two.getUser(2)], ['one 1', 'one 1', 'two 2']);
  assert.deepEqual(runs, ['one', 'two']);
  assert.equal(await cache.get('user:profile:2', { default: 'absent' }), 'two 2');
  const entry = await cache.getEntry('user:profile:1');
  assert.ok(entry && entry.freshUntil - entry.createdAt > 3_000_000);
});

onBoth('its helpers take its arguments, and refresh runs on its own object', async ({ cache }) => {
  class Users {
    constructor(readonly name: string) {}
    @cache.cached(options)
    async getUser(id: number): Promise<string> {
      return `${this.name} ${id}`;
    }
  }
  const [one, two] = [new Users('one'), new Users('two')];
  await one.getUser(1);
  assert.equal(helpersOf(one, 'getUser').key(42), 'user:profile:42');
  assert.equal(await helpersOf(two, 'getUser').getCached(1), 'one 1');
  assert.equal(await helpersOf(two, 'getUser').refresh(1), 'two 1');
  assert.equal(await one.getUser(1), 'two 1');
  assert.equal(await helpersOf(one, 'getUser').refresh(1), 'one 1');
  assert.equal(await helpersOf(one, 'getUser').invalidate(1), true);
  assert.equal(await helpersOf(one, 'getUser').getCached(1), undefined);
  assert.equal(one.getUser.name, 'getUser');
  assert.equal(one.getUser, two.getUser);
});

onBoth('a method runs on the object that it is called on, as methods do', async ({ cache }) => {
  class Users {
    constructor(readonly name: string) {}
    @cache.cached(options)
    async getUser(id: number): Promise<string> {
      return `${this.name} ${id}`;
    }
  }
  const { getUser } = new Users('Ada');
  assert.equal(await getUser.call(new Users('Grace'), 1), 'Grace 1');
  assert.ok((await rejection(getUser(2))) instanceof TypeError);
  assert.equal(await new Users('Edsger').getUser.bind(new Users('Alan'))(3), 'Alan 3');
});

onBoth('static methods are cached too, on the class that is asked', async ({ cache }) => {
  class Users {
    readonly id = 1;
    static readonly table: string = 'users';
    @cache.cached(options)
    static async find(id: number): Promise<string> {
      return `${this.table} ${id}`;
    }
  }
  class Admins extends Users {
    static override readonly table = 'admins';
  }
  assert.deepEqual(
    [await Users.find(1), await Admins.find(1), await Admins.find(2)],
    ['users 1', 'users 1', 'admins 2'],
  );
  assert.equal(await helpersOf(Users, 'find').refresh(1), 'users 1');
  assert.equal(await helpersOf(Users, 'find').invalidate(1), true);
});

onBoth('a subclass inherits a cached method', async ({ cache }) => {
  class Users {
    readonly table: string = 'users';
    @cache.cached(options)
    async find(id: number): Promise<string> {
      return `${this.table} ${id}`;
    }
  }
  class Admins extends Users {
    override readonly table = 'admins';
  }
  const admins = new Admins();
  assert.equal(await admins.find(1), 'admins 1');
  assert.equal(await helpersOf(new Users(), 'find').refresh(1), 'users 1');
  assert.equal(await helpersOf(admins, 'find').refresh(1), 'admins 1');
});

onBoth('a subclass overrides a cached method, and calls it by super', async ({ cache }) => {
  const runs: string[] = [];
  class Users {
    @cache.cached(options)
    async find(id: number): Promise<string> {
      runs.push('users');
      return `user ${id}`;
    }
  }
  class Plain extends Users {
    override async find(id: number): Promise<string> {
      return `plain ${await super.find(id)}`;
    }
  }
  class Cached extends Users {
    @cache.cached({ key: (id: number) => key`admin:profile:${id}` })
    override async find(id: number): Promise<string> {
      runs.push('admins');
      return `admin ${await super.find(id)}`;
    }
  }
  const [plain, cached] = [new Plain(), new Cached()];
  assert.deepEqual([await plain.find(1), await plain.find(1)], ['plain user 1', 'plain user 1']);
  assert.throws(() => helpersOf(plain, 'find'), ConfigError);
  assert.deepEqual([await cached.find(1), await cached.find(1)], ['admin user 1', 'admin user 1']);
  assert.equal(helpersOf(cached, 'find').key(1), 'admin:profile:1');
  assert.deepEqual(runs, ['users', 'admins']);
});

onBoth('asking the prototype for a method changes nothing for its objects', async ({ cache }) => {
  class Users {
    constructor(readonly name: string) {}
    @cache.cached(options)
    async getUser(id: number): Promise<string> {
      return `${this.name} ${id}`;
    }
  }
  class Admins extends Users {}
  assert.equal(helpersOf(Users.prototype, 'getUser').key(1), 'user:profile:1');
  assert.equal(helpersOf(Admins.prototype, 'getUser').key(1), 'user:profile:1');
  assert.equal(await new Admins('Ada').getUser(1), 'Ada 1');
  assert.equal(await new Users('Grace').getUser(2), 'Grace 2');
  assert.equal(await Users.prototype.getUser.call(new Users('Edsger'), 3), 'Edsger 3');
});

onBoth('a frozen object has its methods, and a test may replace one', async ({ cache }) => {
  class Users {
    readonly name: string = 'Ada';
    @cache.cached(options)
    async getUser(id: number): Promise<string> {
      return `${this.name} ${id}`;
    }
  }
  assert.equal(await Object.freeze(new Users()).getUser(1), 'Ada 1');
  const users = new Users();
  const { getUser } = users;
  users.getUser = async (id) => `mock ${id}`;
  assert.equal(await users.getUser(1), 'mock 1');
  users.getUser = getUser;
  assert.equal(await users.getUser(1), 'Ada 1');
  assert.deepEqual(Object.keys(new Users()), ['name']);
  assert.deepEqual({ ...new Users() }, { name: 'Ada' });
});

onBoth('methods named by a text and by a symbol are cached', async ({ cache }) => {
  const find = Symbol('find');
  class Users {
    @cache.cached(options)
    async 'get user'(id: number): Promise<number> {
      return id;
    }
    @cache.cached({ key: (id: number) => key`symbol:${id}` })
    async [find](id: number): Promise<number> {
      return id * 10;
    }
  }
  const users = new Users();
  assert.deepEqual([await users['get user'](1), await users[find](1)], [1, 10]);
  assert.equal(helpersOf(users, find).key(1), 'symbol:1');
});

onBoth('a thousand calls through many objects are one run, and a failure is theirs all', async ({ cache }) => {
  const [slow, broken] = [new Held<string>(), new Held<string>()];
  class Users {
    @cache.cached(options)
    async getUser(id: number): Promise<string> {
      return (id === 1 ? slow : broken).fallback({} as never);
    }
  }
  const calls = Array.from({ length: 1_000 }, () => new Users().getUser(1));
  const failures = Array.from({ length: 10 }, () => rejection(new Users().getUser(2)));
  await Promise.all([slow.entered, broken.entered]);
  const boom = new Error('no');
  slow.give('value');
  broken.fail(boom);
  assert.deepEqual(await Promise.all(calls), Array(1_000).fill('value'));
  for (const seen of await Promise.all(failures)) assert.equal(seen, boom);
  assert.deepEqual([slow.runs, broken.runs], [1, 1]);
});

test('what is no method is refused when the class is made', () => {
  const cache = new CacheManager();
  // biome-ignore lint/suspicious/noExplicitAny: wrong programs are what this test is about
  const decorate = cache.cached(options) as any;
  assert.throws(() => {
    class Users {
      @decorate
      get user(): number {
        return 1;
      }
    }
    return Users;
  }, /^ConfigError: @cached stands on a method/);
  assert.throws(() => {
    class Users {
      @decorate
      user = 1;
    }
    return Users;
  }, /^ConfigError: @cached stands on a method/);
});
