"""Mistakes in calls: mypy and pyright refuse each marked line, and no other. Read by test_types.py, never run."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate import L1, Breaker, CacheManager, Context, HealthLimits, Tls, key, tag
from tidegate.sync import CacheManager as Blocking


@dataclass
class User:
    name: str


cache = CacheManager("redis://localhost", service="billing")
blocking = Blocking(service="billing")


async def fetch() -> User:
    return User("Ada")


async def fetch_maybe() -> User | None:
    return None


def fetch_plain() -> User:
    return User("Ada")


async def fetch_many(keys: list[str]) -> dict[str, User]:
    return {}


# --- managers and their options

CacheManager(tll=5)  # wrong: no such option
CacheManager("memory://", "billing")  # wrong: options go by name
CacheManager(url=5)  # wrong: a URL is a text
CacheManager(service=7)  # wrong: a service is a text
CacheManager(ttl=None)  # wrong: an entry lives for some time
CacheManager(ttl=[5])  # wrong: no duration
CacheManager(codec="xml")  # wrong: no such codec
CacheManager(compression="gzip")  # wrong: no such compression
CacheManager(signing_keys="one text")  # wrong: a list of secrets
CacheManager(breaker=Breaker(failure=5))  # wrong: no such part of it
CacheManager(breaker=5)  # wrong: a group
CacheManager(l1=L1(max_size=5))  # wrong: no such part of it
CacheManager(tls=Tls(cafile="/etc/ssl/ca.pem"))  # wrong: no such part of it
CacheManager(health=HealthLimits(fragmention=2))  # wrong: no such part of it
CacheManager(upgrade={"1": lambda value: value})  # wrong: versions are numbers
CacheManager(upgrade=[lambda value: value])  # wrong: by version
CacheManager(l1=True)  # not refused: for Python's types True is an int; a ConfigError tells at the first run
CacheManager(ttl="5 minuts")  # not refused: what a text says is known when it runs; a ConfigError tells then
CacheManager("memroy://")  # not refused: the same of a URL; a ConfigError tells then


# --- reads


async def reads() -> None:
    cache.get("user:profile:42", fetch)  # wrong: not awaited
    await cache.get("user:profile:42")  # wrong: neither a fallback nor a default
    await cache.get(42, fetch)  # wrong: a key is a text
    await cache.get("user:profile:42", User("Ada"))  # wrong: a fallback is a function
    await cache.get("user:profile:42", fetch())  # wrong: it runs already
    await cache.get("user:profile:42", fetch, 60)  # wrong: options go by name
    await cache.get("user:profile:42", fetch, tll=60)  # wrong: no such option
    await cache.get("user:profile:42", fetch, tags="user:42")  # wrong: tags are a list
    await cache.get("user:profile:42", fetch, tags=[42])  # wrong: tags are texts
    await cache.get("user:profile:42", fetch, default=None)  # wrong: a default stands in for a fallback
    await cache.get("user:profile:42", default=None, ttl=5)  # wrong: nothing is stored
    await cache.get("user:profile:42", fetch, codec="xml")  # wrong: no such codec
    await cache.get("user:profile:42", fetch, hard_timeout=None)  # wrong: a hard timeout there always is
    await cache.get("user:profile:42", lambda one, two: one)  # wrong: a fallback takes nothing, or the context
    number: int = await cache.get("user:profile:42", fetch)  # wrong: it gives a User
    (await cache.get("user:profile:42", fetch)).nmae  # wrong: no such field
    (await cache.get("user:profile:42", default=None, type=User)).name  # wrong: there may be none
    (await cache.get("user:profile:42", default=0, type=User)).name  # wrong: it may be the default
    (await cache.get_entry("user:profile:42")).value  # wrong: there may be none
    (await cache.get_many(["user:profile:42"], fetch_many))["user:profile:42"].name  # wrong: it may be left out
    await cache.get_many("user:profile:42", fetch_plain)  # wrong: it is given the keys
    await cache.get_many([42], fetch_many)  # wrong: keys are texts
    user = cache.refresh("user:profile:42", fetch)
    user.name  # wrong: not awaited
    await cache.get("user:42", fetch, ttl=True)  # not refused: for Python's types True is a number
    (
        await cache.get("user:42", fetch_maybe, type=User)
    ).name  # not refused: with `type` nobody looks what a fallback gives
    await cache.get("user42", fetch)  # not refused: the rules of keys are not types; `tidegate lint` tells
    print(number)


def fallbacks(ctx: Context) -> User:
    ctx.key = "user:profile:43"  # wrong: the key is what it is
    ctx.tags = "user:42"  # wrong: tags are a list
    ctx.ttl = "5m"
    ctx.ttls = "5m"  # wrong: no such thing
    ctx.stale = User("Ada")  # wrong: what stands there is what it is
    ctx.skip("why")  # wrong: it takes nothing
    return User("Ada")


# --- writes and invalidations


async def save(user: User) -> None: ...


async def writes() -> None:
    cache.invalidate("user:profile:42")  # wrong: not awaited
    await cache.invalidate()  # wrong: which?
    await cache.invalidate(["user:profile:42", "user:profile:43"])  # wrong: one after the other
    await cache.invalidate("user:profile:42", require=True)  # wrong: no such option
    await cache.invalidate_tag(42)  # wrong: a tag is a text
    await cache.set("user:profile:42")  # wrong: no value
    await cache.set("user:profile:42", 1, codec="xml")  # wrong: no such codec
    await cache.set("user:profile:42", 1, soft_timeout=5)  # wrong: nobody waits for a set
    await cache.set("user:profile:42", 1, 60)  # wrong: options go by name
    await cache.set_many([("user:profile:42", 1)])  # wrong: a dict
    await cache.write_through("user:profile:42", 1, save)  # wrong: persist is given the value
    await cache.write_through("user:profile:42", User("Ada"), save, on_store_down="maybe")  # wrong: two ways
    await cache.write_through("user:profile:42", User("Ada"))  # wrong: nothing writes the row
    await cache.namespace(42).clear()  # wrong: a name is a text
    await cache.tenant(None).clear()  # wrong: no name
    await cache.tenant(1.5).clear()  # wrong: no name
    cache.tenant("acme", service="shop")  # wrong: a manager's option
    cache.tenant("acme").tenant("other")  # not refused: a view has its manager's type; a ConfigError tells
    await cache.clear()  # not refused: it has the same type, and only a namespace's view clears
    await cache.close(None)  # wrong: no duration
    key("user", None)  # wrong: None is no part of a key
    key("user", 1.5)  # wrong: the languages would write it differently
    tag(b"users")  # wrong: neither are bytes


# --- fields


async def fields() -> None:
    await cache.get_fields("user:profile:42", "name", 5)  # wrong: a fallback is a function
    (await cache.get_fields("user:profile:42", ["name"], fetch_many))["name"].name  # wrong: it may be left out
    await cache.get_fields("user:profile:42", ["name"], fetch_many, early_refresh=True)  # wrong: no such option
    await cache.set_fields("user:profile:42", ["name"])  # wrong: a dict
    await cache.invalidate_field("user:profile:42")  # wrong: which?


# --- cached functions


@cache.cached("user:profile:{user_id}", ttl=60)
async def get_user(user_id: int, *, deep: bool = False) -> User:
    return User(str(user_id))


@blocking.cached("user:profile:{user_id}")
def get_plain(user_id: int) -> User:
    return User(str(user_id))


class Users:
    @cache.cached("user:profile:{user_id}")
    async def get(self, user_id: int) -> User:
        return User(str(user_id))


@cache.cached("user:name:{user_id}")  # wrong: the async manager caches async functions
def name_of(user_id: int) -> str:
    return str(user_id)


@cache.cached(ttl=60)  # wrong: a template
async def no_template(user_id: int) -> str:
    return str(user_id)


@cache.cached("user:name:{id}")  # not refused: what a template says is no type; `tidegate lint` and its use tell
async def other_name(user_id: int) -> str:
    return str(user_id)


async def decorated() -> None:
    get_user(42)  # wrong: not awaited
    await get_user("42")  # wrong: a number
    await get_user()  # wrong: whom?
    await get_user(42, depth=True)  # wrong: no such argument
    await get_user.invalidate()  # wrong: whom?
    await get_user.invalidate("42")  # wrong: a number
    await get_user.refresh(user=42)  # wrong: no such argument
    (await get_user.get_cached(42)).name  # wrong: there may be none
    get_user.key(42).nmae  # wrong: a text
    await get_user.forget(42)  # wrong: no such helper
    await Users().get("42")  # wrong: a number
    await Users().get.invalidate()  # wrong: whom?
    cache.cached("user:{user_id}", tags="users")  # wrong: tags are a list
    cache.cached("user:{user_id}", tll=5)  # wrong: no such option


# --- asyncio and blocking mixed up


async def mixed() -> None:
    await blocking.get("user:profile:42", fetch_plain)  # wrong: nothing to await
    await blocking.invalidate("user:profile:42")  # wrong: nothing to await
    await get_plain(42)  # wrong: nothing to await
    async with blocking:  # wrong: `with`
        pass
    with cache:  # wrong: `async with`
        pass
    blocking.get("user:profile:42", fetch).name  # wrong: a coroutine that nobody awaits
