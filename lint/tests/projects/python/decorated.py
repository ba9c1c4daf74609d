from tidegate import CacheManager

cache = CacheManager()


@cache.cached("user:profile:{user_id}", ttl="1m", tags=["user:{user_id}", "users"])
async def right(user_id: int) -> dict: ...


@cache.cached("user:{user.id}:{page}:{rest}", ignore=("db", "more"))
async def paths(db, user, /, page=1, *rest: str, **more) -> dict: ...


@cache.cached("user:{user_id}")  # -> TG006 TG007
async def renamed(uid: int) -> dict: ...


@cache.cached("user:page:{user_id}", ignore=["db", "gone"])  # -> TG006 TG007
async def forgotten(user_id: int, page: int, db=None): ...


@cache.cached("user:{a}-{b}")  # -> TG008
async def ambiguous(a, b): ...


@cache.cached("user:{a")  # -> TG008
async def unclosed(a): ...


@cache.cached("user:a}")  # -> TG008
async def unopened(): ...


@cache.cached("user:{a b}:{}")  # -> TG008
async def unnamed(a): ...


@cache.cached("users")  # -> TG002
async def flat(): ...


@cache.cached("user::{a}")  # -> TG003
async def empty(a): ...


@cache.cached("user:{a} x")  # -> TG004
async def reserved(a): ...


@cache.cached("user:b:{a}", tags=["user:{b}", "a b", "x:{"])  # -> TG006 TG011 TG011
async def tagged(a): ...


def made(a):
    @cache.cached(f"user:{a}")  # -> TG005
    async def filled(a): ...

    @cache.cached(f"user:{a}:{{b}}")
    async def filled_once(b): ...

    return filled, filled_once


class Repository:
    @cache.cached("repo:{name}")
    async def load(self, name: str) -> int: ...

    @cache.cached("repo:{self}:{name}")  # -> TG006
    async def of_self(self, name: str) -> int: ...

    @classmethod
    @cache.cached("repo:kind:{name}")
    async def of_class(cls, name: str) -> int: ...


@cache.cached("repo:{name}")  # -> TG014
async def other(name: str) -> str: ...


loaded = cache.cached("flat")(right)  # -> TG002


def elsewhere():
    cache = CacheManager()

    @cache.cached("repo:{name}")
    async def its_own(name: str) -> bytes: ...

    return its_own
