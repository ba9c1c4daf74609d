"""Types: what `type=` and return annotations decode to, in JSON and in msgpack, and what does not fit its type."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import attrs
import msgspec
import pytest

from tidegate import CacheEvent, CacheManager, ConfigError, EncodeError
from tidegate._codec import Coder, codecs

from .conftest import Make, MakeBlocking
from .helpers import comes_back, never, reasons, shown

KEY = "user:profile:1"
UTC = datetime.timezone.utc
T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclass
class Address:
    city: str
    since: datetime.date | None = None


@dataclass
class User:
    id: uuid.UUID
    balance: decimal.Decimal
    seen: datetime.datetime
    colour: Colour = Colour.RED
    address: Address | None = None
    tags: set[str] = field(default_factory=set)
    avatar: bytes = b""


class Row(TypedDict, total=False):
    id: int
    at: datetime.datetime


class Point(NamedTuple):
    x: int
    y: float = 0.5


class Struct(msgspec.Struct, frozen=True):
    id: int
    inner: tuple[Point, ...] = ()
    renamed: Annotated[int, msgspec.Meta(ge=0)] = msgspec.field(default=0, name="isRenamed")


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    name: str


@attrs.define
class Attrs:
    id: int
    colours: list[Colour] = attrs.field(factory=list)


@dataclass
class Page(Generic[T]):
    items: list[T]
    total: int


class Box(msgspec.Struct, Generic[T]):
    inner: T


@dataclass
class Tree:
    value: int
    children: list[Tree] = field(default_factory=list)


USER = User(
    uuid.UUID(int=7),
    decimal.Decimal("12345678901234567890.10"),
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    address=Address("Münster", datetime.date(2026, 1, 2)),
    tags={"a"},
    avatar=b"\xff\x00",
)
TYPED: list[tuple[Any, Any]] = [
    (USER, User),
    (Row(id=1, at=datetime.datetime(2026, 1, 2, tzinfo=UTC)), Row),
    (Point(1), Point),
    (Struct(1, (Point(1, 2.5), Point(3))), Struct),
    ([Cat(9), Dog("Rex")], list[Cat | Dog]),
    (Attrs(1, [Colour.RED]), Attrs),
    (Page([USER], 1), Page[User]),
    (Box(Page([Point(1)], 1)), Box[Page[Point]]),
    (Tree(1, [Tree(2, [Tree(3)])]), Tree),
    ({"a": USER}, dict[str, User]),
    ([1, "a", None], list[int | str | None]),
    ((1, "a"), tuple[int, str]),
    ({1, 2}, set[int]),
    (frozenset({"a"}), frozenset[str]),
    (Colour.RED, Colour),
    (Level.HIGH, Level),
    (datetime.datetime(2026, 1, 2, 3, tzinfo=UTC), datetime.datetime),
    (datetime.date(2026, 1, 2), datetime.date),
    (datetime.time(1, 2, 3, 4), datetime.time),
    (datetime.timedelta(days=1, microseconds=5), datetime.timedelta),
    (uuid.UUID(int=1), uuid.UUID),
    (decimal.Decimal("1.50"), decimal.Decimal),
    (b"\xff", bytes),
    ("a", Literal["a", "b"]),
    (5, Annotated[int, msgspec.Meta(gt=4)]),
    (2**60, int),
    (1.0, float),
    (USER, User | None),
    ({"a": [1, {"b": None}]}, dict[str, object]),
    ([2.5, "a"], object),
]


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize(("value", "kind"), TYPED, ids=shown)
async def test_a_value_comes_back_as_its_type(make: Make, codec: Any, value: Any, kind: Any) -> None:
    cache = make(codec=codec)
    await comes_back(cache, KEY, value, kind)
    assert await cache.refresh(KEY, lambda: value, type=kind) == value
    assert await cache.set("a:set", value)
    assert await cache.get("a:set", default="absent", type=kind) == value
    assert await cache.get_many(["a:many"], lambda keys: dict.fromkeys(keys, value), type=kind) == {"a:many": value}


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_fallback_may_give_what_only_becomes_the_type(make: Make, codec: Any) -> None:
    """Rows of a database are dicts: callers are given the type from the first call on."""
    cache = make(codec=codec, l1="4MB")
    row = {"id": str(USER.id), "balance": "1.5", "seen": "2026-01-02T00:00:00Z", "colour": "red"}
    first = await cache.get(KEY, lambda: row, type=User)
    assert first == User(USER.id, decimal.Decimal("1.5"), datetime.datetime(2026, 1, 2, tzinfo=UTC))
    for _ in range(3):
        assert await cache.get(KEY, never, type=User) == first
    # A null is None whatever the type is.
    assert await cache.get("a:none", lambda: None, type=User) is None
    assert await cache.get("a:none", never, type=User) is None


async def test_the_return_annotation_is_the_type(make: Make, make_blocking: MakeBlocking) -> None:
    for codec in ("json", "msgpack"):
        cache, blocking = make(codec=codec), make_blocking(codec=codec)

        @cache.cached("page:of:{number}")
        async def page(number: int) -> Page[User]:
            return Page([USER], number)

        @blocking.cached("point:of:{number}", codec="msgpack")
        def point(number: int) -> Point | None:
            return Point(number) if number else None

        assert [await page(1), await page(1), await page.refresh(1)] == [Page([USER], 1)] * 3
        assert await page.get_cached(1) == Page([USER], 1)
        assert [point(1), point(1), point(0), point(0)] == [Point(1), Point(1), None, None]


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_sink_is_given_the_type(make: Make, codec: Any) -> None:
    rows: dict[str, Any] = {}
    cache = make(codec=codec)
    behind = cache.write_behind("users", lambda items: rows.update((i.key, i.value) for i in items), type=User)
    await behind.put(KEY, USER)
    assert await cache.get(KEY, never, type=User) == USER
    assert await behind.flush()
    assert rows == {KEY: USER}


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_what_a_fallback_gives_and_its_type_refuses_is_returned_uncached(
    told: Make, errors: list[CacheEvent], codec: Any
) -> None:
    cache = told(codec=codec)
    bad: Any = {"id": "no number"}
    assert await cache.get(KEY, lambda: bad, type=Struct) is bad
    assert await cache.refresh(KEY, lambda: bad, type=Struct) is bad
    assert await cache.get_many([KEY], lambda _: {KEY: bad}, type=Struct) == {KEY: bad}
    assert await cache.get(KEY, default="absent") == "absent"
    assert await reasons(errors, 3) == ["schema"] * 3
    assert f"the value of '{KEY}' is not stored: Expected `int`, got `str` - at `$.id`" == errors[0].message
    strict = told(codec=codec, strict=True)
    with pytest.raises(EncodeError, match="Expected `int`, got `str`"):
        await strict.get(KEY, lambda: bad, type=Struct)


@pytest.mark.parametrize("tier", [None, "4MB"], ids=["no L1", "L1"])
@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_an_entry_that_no_longer_fits_is_a_miss_and_overwritten(
    told: Make, errors: list[CacheEvent], codec: Any, tier: Any
) -> None:
    cache = told(codec=codec, l1=tier)
    assert await cache.set(KEY, {"id": "of an older program"})
    assert await cache.get(KEY, default="absent", type=Struct) == "absent"
    assert await cache.get_entry(KEY, type=Struct) is None
    assert await cache.get(KEY, lambda: Struct(7), type=Struct) == Struct(7)
    assert set(await reasons(errors, 3)) == {"schema"}
    assert await cache.get(KEY, never, type=Struct) == Struct(7)
    assert await cache.set("a:many", {"id": "old"})
    assert await cache.get_many(["a:many"], lambda keys: dict.fromkeys(keys, Struct(8)), type=Struct) == {
        "a:many": Struct(8)
    }
    assert await cache.get_many(["a:many"], never, type=Struct) == {"a:many": Struct(8)}


@pytest.mark.parametrize(
    ("kind", "accepts"),
    [
        (bytes, True),
        (bytearray, True),
        (bytes | None, True),
        (Annotated[bytes, msgspec.Meta(max_length=3)], True),
        (str, False),
        (User, False),
        (list[int], False),
    ],
    ids=shown,
)
async def test_the_type_of_what_is_raw_has_to_take_bytes(
    told: Make, errors: list[CacheEvent], kind: Any, accepts: bool
) -> None:
    cache = told(codec="raw")
    assert await cache.get(KEY, lambda: b"\xff", type=kind) == b"\xff"
    assert await cache.exists(KEY) is accepts
    if accepts:
        assert await cache.get(KEY, never, type=kind) == b"\xff"
        assert errors == []
    else:
        assert await reasons(errors) == ["schema"]


@dataclass
class Holder:
    cache: CacheManager


class OneDict(TypedDict):
    a: int


class OtherDict(TypedDict):
    b: int


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (CacheManager, "type=CacheManager is not accepted: msgspec cannot build a CacheManager"),
        (list[CacheManager], "msgspec cannot build a CacheManager"),
        (Holder, "type=Holder is not accepted: msgspec cannot build a CacheManager"),
        (OneDict | OtherDict, "may not contain more than one"),
        (datetime.date | datetime.datetime, "may not contain more than one"),
        (5, "type=5 is not accepted"),
    ],
    ids=shown,
)
async def test_a_type_that_nothing_can_be_read_as_is_refused(cache: CacheManager, kind: Any, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        await cache.get(KEY, never, type=kind)
    assert says in str(refused.value)
    for accepted in ("dataclasses", "pydantic models", "attrs classes", "a right example: type=list[int]"):
        assert accepted in str(refused.value)

    async def function() -> Any: ...

    function.__annotations__["return"] = kind
    with pytest.raises(ConfigError, match=r"the return annotation of .*function"):
        cache.cached("a:b")(function)


async def test_types_that_are_equal_share_a_coder_and_others_do_not() -> None:
    made = codecs()
    assert made["json"][list[int]] is made["json"][list[int]]
    assert made["json"][list[int]] is not made["json"][list[str]]
    # What was made of an entry in L1 is shared by whoever asks for the type, whatever he writes with.
    assert made["json"][list[int]].msgpack is made["msgpack"][list[int]].msgpack
    unhashable: Any = Annotated[int, ["of whom nobody knows"]]
    with pytest.raises(TypeError):
        hash(unhashable)
    assert made["json"].made(unhashable).json(b"5") == 5


async def test_an_unhashable_type_is_a_type_all_the_same(make: Make) -> None:
    kind: Any = Annotated[int, ["of whom nobody knows"], msgspec.Meta(gt=4)]
    cache = make(l1="4MB")
    assert await cache.get(KEY, lambda: 5, type=kind) == 5
    assert await cache.get(KEY, never, type=kind) == 5
    assert await cache.get("a:b", lambda: 4, type=kind) == 4
    assert not await cache.exists("a:b")


@pytest.mark.parametrize("tier", [None, "4MB"], ids=["no L1", "L1"])
async def test_a_coder_is_exchangeable_as_one_object(make: Make, tier: Any) -> None:
    """What a call reads and writes with stands behind one object; `get_fields` is built on that."""

    def reading(payload: bytes) -> Any:
        return ["read", payload]

    own = Coder("raw", lambda value: b"written " + value, never, never, reading)
    cache = make(l1=tier)
    for _ in range(3):
        assert await cache._get(KEY, lambda: b"it", own, None) == ["read", b"written it"]
    assert await cache.get(KEY, never) == b"written it"
    assert await cache._get(KEY, never, own, None) == ["read", b"written it"]
