"""@cached: keys from arguments, types from annotations, helpers."""

from __future__ import annotations

import asyncio
import functools
import inspect
from dataclasses import dataclass
from typing import Any

import pytest

from tidegate import CacheManager, ConfigError, KeyFormatError
from tidegate.sync import CacheManager as Blocking


@dataclass
class User:
    id: int


runs: list[Any] = []


@pytest.fixture(autouse=True)
def _no_runs() -> None:
    runs.clear()


async def test_it_caches_by_its_arguments_and_decodes_to_its_annotation(cache: CacheManager) -> None:
    @cache.cached("user:profile:{user_id}", ttl=60)
    async def get_user(user_id: int) -> User:
        """Fetches a user."""
        runs.append(user_id)
        return User(user_id)

    assert [await get_user(1), await get_user(user_id=1), await get_user(2)] == [User(1), User(1), User(2)]
    assert runs == [1, 2]
    assert (getattr(get_user, "__name__"), get_user.__doc__) == ("get_user", "Fetches a user.")  # noqa: B009 - a type has none
    assert inspect.iscoroutinefunction(get_user)


async def test_its_helpers_take_its_arguments(cache: CacheManager) -> None:
    @cache.cached("user:profile:{user_id}")
    async def get_user(user_id: int) -> User:
        runs.append(user_id)
        return User(user_id)

    assert get_user.key(42) == "user:profile:42"
    assert await get_user.get_cached(42) is None
    assert await get_user(42) == User(42)
    assert await get_user.get_cached(user_id=42) == User(42)
    assert await get_user.refresh(42) == User(42)
    assert runs == [42, 42]
    assert await get_user.invalidate(42)
    assert await get_user.get_cached(42) is None


async def test_its_helpers_do_without_what_is_ignored(cache: CacheManager) -> None:
    @cache.cached("user:profile:{user_id}", ignore=["session", "team", "trace"], tags=["team:{team}"])
    async def get_user(user_id: int, team: int, session: object, *, trace: object) -> int:
        runs.append(user_id)
        return user_id

    helpers: Any = get_user
    assert await get_user(1, 7, None, trace=None) == 1
    assert helpers.key(1) == helpers.key(1, 7, None, trace=None) == "user:profile:1"
    # A read names its tags, and says so where it cannot.
    assert await helpers.get_cached(1, team=7) == 1
    with pytest.raises(TypeError, match=r"tags of .*get_user\(\) missing .* 'team'"):
        await helpers.get_cached(1)
    assert await helpers.invalidate(1)
    assert await helpers.get_cached(1, team=7) is None
    with pytest.raises(TypeError, match=r"get_user\.key\(\) missing .* 'user_id'"):
        await helpers.invalidate()


async def test_its_helpers_do_without_what_is_ignored_and_stands_first(cache: CacheManager) -> None:
    @cache.cached("user:profile:{user_id}:{part}", ignore=("db", "trace"), tags=["user:{user_id}"])
    async def load(db: object, user_id: int, part: str = "all", *, trace: object = None) -> int:
        runs.append(user_id)
        return user_id

    assert await load(object(), 42) == 42
    assert load.key(user_id=42) == load.key(None, 42) == load.key(object(), 42, "all") == "user:profile:42:all"
    assert await load.get_cached(user_id=42) == 42
    assert await load.get_cached(part="all", user_id=42) == await load.get_cached("any", 42) == 42
    assert await load.invalidate(user_id=42)
    assert await load.get_cached(user_id=42) is None
    assert await load.refresh(object(), 42) == 42
    # What stands first is `db`, as in a call.
    line = (
        r"\(\) missing the argument 'user_id': what is in ignore \('db', 'trace'\) .*: load\.invalidate\(user_id=…\)$"
    )
    for call in (load.invalidate, load.key, load.get_cached):
        with pytest.raises(TypeError, match=line):
            await call(42)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=line):
        await load.invalidate()
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        await load.invalidate(user_id=42, other=1)
    # The function itself needs all of it.
    with pytest.raises(TypeError, match="missing"):
        await load(user_id=42)  # type: ignore[call-arg]


async def test_what_is_given_by_its_place_alone_keeps_what_stands_before_it(cache: CacheManager) -> None:
    @cache.cached("a:{b}:{c}", ignore=("db", "more"))
    async def loads(db: object, b: int, /, more: object, c: int) -> None: ...

    load: Any = loads
    assert load.key(None, 1, c=2) == load.key(None, 1, None, 2) == "a:1:2"
    with pytest.raises(TypeError, match=r"loads\.invalidate\(…, c=…\)$"):
        load.key(None, 1)
    with pytest.raises(TypeError, match="missing"):
        load.key(1, c=2)


async def test_a_method_does_without_what_is_ignored(cache: CacheManager, blocking: Blocking) -> None:
    class Users:
        @cache.cached("user:profile:{user_id}", ignore=["db"])
        async def load(self, db: object, user_id: int) -> int:
            return user_id

        @blocking.cached("user:plain:{user_id}", ignore=["db"])
        def load_plain(self, db: object, user_id: int) -> int:
            return user_id

    users = Users()
    assert await users.load(None, 1) == await users.load.get_cached(user_id=1) == users.load_plain(None, 1) == 1
    assert users.load.key(user_id=1) == "user:profile:1"
    assert users.load_plain.invalidate(user_id=1)
    assert users.load_plain.get_cached(user_id=1) is None


async def test_every_kind_of_parameter(cache: CacheManager) -> None:
    @cache.cached("many:{a}:{b}:{c}:{d}", ignore=("rest", "more"))
    async def many(a: str, /, b: bool, *rest: int, c: int = 3, d: str = "x y", **more: int) -> list[Any]:
        return [a, b, c, d]

    assert many.key("A:B", True) == "many:A%3AB:true:3:x%20y"
    assert many.key("a", False, 7, c=4, d="z", e=1) == "many:a:false:4:z"
    assert await many("a", True) == ["a", True, 3, "x y"]
    with pytest.raises(TypeError, match="missing"):
        await many("a")  # type: ignore[call-arg]


async def test_parameters_may_be_called_anything(cache: CacheManager) -> None:
    @cache.cached("odd:{type}:{str}:{key}")
    async def odd(type: str, str: int, key: int) -> int:
        return key

    assert odd.key("t", 1, 2) == "odd:t:1:2"
    assert await odd("t", 1, 2) == 2


async def test_a_place_may_be_an_attribute(cache: CacheManager) -> None:
    @cache.cached("orders:of:{user.id}")
    async def orders(user: User) -> list[int]:
        return [user.id]

    assert await orders(User(7)) == [7]
    assert orders.key(User(7)) == "orders:of:7"


async def test_an_argument_that_is_no_part_of_a_key_is_refused_by_its_place(cache: CacheManager) -> None:
    @cache.cached("user:profile:{user_id}")
    async def get_user(user_id: Any) -> None: ...

    for wrong in (None, 1.5, b"x", "", [1]):
        with pytest.raises(KeyFormatError, match=r"\{user_id\}"):
            await get_user(wrong)


async def test_methods_leave_self_out(cache: CacheManager) -> None:
    class Repository:
        def __init__(self, name: str) -> None:
            self.name = name

        @cache.cached("user:profile:{user_id}")
        async def get_user(self, user_id: int) -> str:
            runs.append(user_id)
            return f"{self.name} {user_id}"

        @staticmethod
        @cache.cached("static:{number}:x")
        async def static(number: int) -> int:
            return number

    one, two = Repository("one"), Repository("two")
    assert [await one.get_user(1), await two.get_user(1)] == ["one 1", "one 1"]
    assert one.get_user.key(1) == "user:profile:1"
    assert await two.get_user.refresh(1) == "two 1"
    assert await one.get_user.get_cached(1) == "two 1"
    assert await one.get_user.invalidate(1)
    assert await Repository.get_user(two, 1) == "two 1"
    assert runs == [1, 1, 1]
    assert await Repository.static(5) == 5


async def test_class_methods_leave_cls_out(cache: CacheManager) -> None:
    class Repository:
        @classmethod
        @cache.cached("class:{number}:x")
        async def of_class(cls, number: int) -> str:
            return f"{cls.__name__} {number}"

    # A type checker cannot see through both decorators.
    of_class: Any = Repository.of_class
    assert await of_class(5) == "Repository 5"
    assert await cache.get("class:5:x", default=None) == "Repository 5"


async def test_a_thousand_calls_are_one_run(cache: CacheManager) -> None:
    @cache.cached("slow:thing:{number}")
    async def slow(number: int) -> int:
        runs.append(number)
        await asyncio.sleep(0.02)
        return number

    assert await asyncio.gather(*[slow(1) for _ in range(1_000)]) == [1] * 1_000
    assert runs == [1]


async def test_an_annotation_may_name_what_comes_later(cache: CacheManager) -> None:
    @cache.cached("later:{number}:x")
    async def later(number: int) -> Later:
        return Later(number)

    assert await later(1) == Later(1)


@dataclass
class Later:
    number: int


async def test_type_stands_in_for_an_annotation(cache: CacheManager) -> None:
    @cache.cached("user:profile:{user_id}", type=User)
    async def get_user(user_id: int):  # type: ignore[no-untyped-def] # noqa: ANN202
        return {"id": user_id}

    assert await get_user(1) == User(1)


async def test_disabled_calls_the_function(cache: CacheManager) -> None:
    @cache.cached("count:of:{what}")
    async def count(what: str) -> int:
        runs.append(what)
        return len(runs)

    assert [await count("a"), await count("a")] == [1, 1]
    with cache.disabled():
        assert [await count("a"), await count("a")] == [2, 3]
    assert await count("a") == 1


def test_plain_functions_have_the_blocking_manager(blocking: Blocking) -> None:
    class Repository:
        @blocking.cached("user:profile:{user_id}")
        def get_user(self, user_id: int) -> User:
            runs.append(user_id)
            return User(user_id)

    @blocking.cached("square:of:{number}", ttl="1m")
    def square(number: int) -> int:
        runs.append(number)
        return number**2

    assert [square(3), square(3), square.refresh(3), square.get_cached(3)] == [9, 9, 9, 9]
    assert square.invalidate(3)
    assert square.get_cached(3) is None
    repository = Repository()
    assert repository.get_user(1) == repository.get_user.refresh(1) == User(1)
    assert runs == [3, 3, 1, 1]


def _plain(number: int) -> int:
    return number


async def _async(number: int) -> int:
    return number


@pytest.mark.parametrize(
    ("decorate", "error", "says"),
    [
        (lambda a, b: a.cached("x:{number}:y")(_plain), ConfigError, "_plain is a plain function"),
        (lambda a, b: b.cached("x:{number}:y")(_async), ConfigError, "_async is async"),
        (lambda a, b: a.cached("x:y")(_async), ConfigError, "parameter 'number' of _async stands neither"),
        (lambda a, b: a.cached("x:{number}:{other}")(_async), ConfigError, "_async has no parameter 'other'"),
        (lambda a, b: a.cached("x:{number}:y", ignore=("z",))(_async), ConfigError, "ignore names 'z'"),
        (lambda a, b: a.cached("x:{number}:y", ignore="number"), ConfigError, "ignore='number' is a text"),
        (lambda a, b: a.cached(_async), ConfigError, "needs a template"),
        (lambda a, b: a.cached(5), KeyFormatError, "template=5 is not a text"),
        (lambda a, b: a.cached("{number}")(_async), KeyFormatError, "is flat"),
        (lambda a, b: a.cached("x:{number")(_async), KeyFormatError, "has a { without its }"),
        (lambda a, b: a.cached("x:number}")(_async), KeyFormatError, "has a } without its {"),
        (lambda a, b: a.cached("x:{number!r}")(_async), KeyFormatError, "no name of a parameter"),
        (lambda a, b: a.cached("x:{}")(_async), KeyFormatError, "no name of a parameter"),
        (lambda a, b: a.cached("x:{number}-{number}")(_async), KeyFormatError, "two places in one segment"),
        (lambda a, b: a.cached("x:{number}:y z")(_async), KeyFormatError, "reserved character"),
        (lambda a, b: a.cached("x:{number}:y", ttl=-1), ConfigError, "ttl=-1"),
        (lambda a, b: a.cached("x:{number}:y", tll=1), ConfigError, 'did you mean "ttl"'),
        (lambda a, b: a.cached("x:{number}:y")(staticmethod(_async)), ConfigError, "stand above"),
        (lambda a, b: a.cached("x:{number}:y", type=functools.partial)(_async), ConfigError, "type=partial"),
    ],
)
def test_what_cannot_work_is_refused_when_decorating(decorate: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as refused:
        decorate(CacheManager(), Blocking())
    assert says in str(refused.value)
