"""pydantic's models as types and as values."""

from __future__ import annotations

import datetime
import decimal
import enum
import math
import pathlib
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import attrs
import msgspec
import pydantic
import pytest
import redis
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from tests.support.redis_server import RedisServer
from tidegate import CacheEvent, CacheManager, ConfigError, EncodeError

from .conftest import PATIENT, Make, MakeBlocking
from .helpers import comes_back, never, opened, reasons, shown

KEY = "user:profile:1"
UTC = datetime.timezone.utc
T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"


class Address(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    city: str
    zip_code: str = Field(default="", alias="zipCode")


class User(BaseModel):
    id: uuid.UUID
    balance: decimal.Decimal
    seen: datetime.datetime
    born: datetime.date | None = None
    lasts: datetime.timedelta = datetime.timedelta(0)
    colour: Colour = Colour.RED
    address: Address | None = Field(default=None, alias="homeAddress")
    tags: set[str] = set()
    home: pathlib.Path = pathlib.Path("/")
    site: pydantic.AnyUrl | None = None
    avatar: bytes = b""
    score: Annotated[float, Field(ge=0)] = 0.0

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def label(self) -> str:
        return f"{self.id}"


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Page(BaseModel, Generic[T]):
    items: list[T]


class Names(pydantic.RootModel[list[str]]):
    pass


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    id: uuid.UUID
    at: datetime.datetime
    day: datetime.date
    amount: decimal.Decimal
    tags: set[int]
    pair: tuple[int, str]
    colour: Colour
    lasts: datetime.timedelta
    data: bytes


class Aliased(BaseModel):
    """A field for each way in which its names may differ."""

    model_config = ConfigDict(extra="forbid")
    plain: int
    both: int = Field(alias="Both")
    read: int = Field(validation_alias="readAs")
    chosen: int = Field(validation_alias=AliasChoices("chosenAs", "orAs"))
    deep: int = Field(validation_alias=AliasPath("outer", "inner"))


class Apart(BaseModel):
    """Written by a name that it is not read by."""

    value: int = Field(validation_alias="valueIn", serialization_alias="valueOut")
    among: int = Field(validation_alias=AliasChoices("a", "b"), serialization_alias="b")


@dataclass
class Holder:
    user: Address
    others: list[Address]


class Typed(TypedDict):
    user: Address


class Named(NamedTuple):
    user: Address


@pydantic.dataclasses.dataclass
class OfPydantic:
    id: int
    at: datetime.datetime = Field(alias="seenAt")


@dataclass
class Parcel(Generic[T]):
    content: T


class Node(BaseModel):
    value: int
    children: list[Node] = []


ADDRESS = Address(city="Münster", zipCode="48143")
USER = User(
    id=uuid.UUID(int=7),
    balance=decimal.Decimal("12345678901234567890.10"),
    seen=datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    born=datetime.date(2000, 1, 2),
    lasts=datetime.timedelta(days=1, seconds=5),
    homeAddress=ADDRESS,
    tags={"a"},
    home=pathlib.Path("/srv/ada"),
    site=pydantic.AnyUrl("https://example.org/a"),
    avatar=b"ab",
    score=0.5,
)
STRICT = Strict(
    id=uuid.UUID(int=7),
    at=datetime.datetime(2026, 1, 2, tzinfo=UTC),
    day=datetime.date(2026, 1, 2),
    amount=decimal.Decimal("1.50"),
    tags={1, 2},
    pair=(1, "a"),
    colour=Colour.RED,
    lasts=datetime.timedelta(1),
    data=b"ab",
)
Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
TYPED: list[tuple[Any, Any]] = [
    (USER, User),
    (USER, User | None),
    ([USER, ADDRESS], list[User | Address]),
    ({"a": USER}, dict[str, User]),
    ((1, ADDRESS), tuple[int, Address]),
    ([Cat(lives=9), Dog(name="Rex")], list[Pet]),
    (Page[User](items=[USER]), Page[User]),
    (Page[Page[int]](items=[Page[int](items=[2**60])]), Page[Page[int]]),
    (Names(["Ada"]), Names),
    (STRICT, Strict),
    (Holder(ADDRESS, [ADDRESS]), Holder),
    (Typed(user=ADDRESS), Typed),
    (Named(ADDRESS), Named),
    (Parcel(ADDRESS), Parcel[Address]),
    (OfPydantic(id=1, seenAt=datetime.datetime(2026, 1, 2, tzinfo=UTC)), OfPydantic),
    (Node(value=1, children=[Node(value=2)]), Node),
    (Aliased(plain=1, Both=2, readAs=3, chosenAs=4, outer={"inner": 5}), Aliased),  # type: ignore[call-arg]
    ([Apart(valueIn=1, a=2)], list[Apart]),  # type: ignore[call-arg]
    (5, Annotated[int, Field(gt=4)]),
    (pydantic.AnyUrl("https://example.org/a"), pydantic.AnyUrl),
]


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize(("value", "kind"), TYPED, ids=shown)
async def test_a_value_comes_back_as_its_type(make: Make, codec: Any, value: Any, kind: Any) -> None:
    cache = make(codec=codec)
    await comes_back(cache, KEY, value, kind)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_annotations_sinks_and_threads_know_models_too(
    make: Make, make_blocking: MakeBlocking, codec: Any
) -> None:
    cache, blocking = make(codec=codec), make_blocking(codec=codec, l1="4MB")

    @cache.cached("user:of:{number}")
    async def user(number: int) -> User | None:
        return USER if number else None

    assert [await user(1), await user(1), await user.get_cached(1), await user(0)] == [USER, USER, USER, None]
    rows: dict[str, Any] = {}
    behind = cache.write_behind("users", lambda items: rows.update((i.key, i.value) for i in items), type=User)
    await behind.put(KEY, USER)
    assert await behind.flush()
    assert rows == {KEY: USER}
    for _ in range(3):
        assert blocking.get("user:of:1", never, type=User) == USER


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_rows_become_models_from_the_first_call_on(make: Make, codec: Any) -> None:
    cache = make(codec=codec)
    row = {"city": "Münster", "zip_code": "48143"}
    assert await cache.get(KEY, lambda: row, type=Address) == ADDRESS
    assert await cache.get(KEY, never, type=Address) == ADDRESS
    assert await cache.get("a:many", lambda: [row, ADDRESS], type=list[Address]) == [ADDRESS, ADDRESS]


ADDRESS_DICT = {"city": "Münster", "zipCode": "48143"}


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_model_without_a_type_is_written_as_an_object(make: Make, codec: Any) -> None:
    cache = make(codec=codec)
    value: Any = {"at": [ADDRESS]}
    assert await cache.get(KEY, lambda: value) == {"at": [ADDRESS_DICT]}
    assert await cache.get(KEY, never) == {"at": [ADDRESS_DICT]}
    assert await cache.set("a:set", USER)
    assert await cache.get("a:set", default=None, type=User) == USER
    plain: Any = await cache.get("a:set", default=None)
    assert plain["homeAddress"] == ADDRESS_DICT
    assert plain["site"] == "https://example.org/a"
    assert plain["home"] == "/srv/ada"
    # What is computed is no part of what is read back.
    assert "label" not in plain
    assert plain["seen"] == (USER.seen if codec == "msgpack" else "2026-01-02T03:04:05.000006Z")
    assert plain["avatar"] == (b"ab" if codec == "msgpack" else "ab")


async def test_models_are_written_by_alias(redis_server: RedisServer, service: str) -> None:
    async with opened(redis_server.url, service=service, **PATIENT) as cache:
        await cache.get("a:typed", lambda: [ADDRESS], type=list[Address])
        await cache.set("a:plain", ADDRESS)
    with redis.Redis.from_url(redis_server.url) as client:
        typed: Any = client.get(f"{service}:v1:a:typed")
        plain: Any = client.get(f"{service}:v1:a:plain")
    assert typed[72:] == '[{"city":"Münster","zipCode":"48143"}]'.encode()
    assert plain[72:] == '{"city":"Münster","zipCode":"48143"}'.encode()


async def test_numbers_in_models_go_by_the_rules_of_the_codec(make: Make) -> None:
    class Numbers(BaseModel):
        big: int
        ratio: float | None
        zero: float

    value = Numbers(big=2**70, ratio=math.nan, zero=-0.0)
    cache = make()
    # NaN is null in JSON, in a model as elsewhere.
    expected = Numbers(big=2**70, ratio=None, zero=-0.0)
    assert await cache.get(KEY, lambda: value, type=Numbers) == expected
    assert repr(await cache.get(KEY, never, type=Numbers)) == repr(expected)
    value = Numbers(big=2**60, ratio=math.inf, zero=-0.0)
    assert repr(await cache.get("a:b", lambda: value, type=Numbers, codec="msgpack")) == repr(value)
    with pytest.raises(EncodeError, match=r"\$\.big is a int: can't serialize ints"):
        await cache.set("a:b", Numbers(big=2**70, ratio=None, zero=0), codec="msgpack")


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_what_does_not_fit_a_model(told: Make, errors: list[CacheEvent], codec: Any) -> None:
    cache = told(codec=codec)
    bad: Any = {"city": 5, "secret-of-a-stranger": "4111-1111"}
    assert await cache.get(KEY, lambda: bad, type=Address) is bad
    assert await reasons(errors) == ["schema"]
    assert errors[0].message == (
        f"the value of '{KEY}' is not stored: Input should be a valid string - at `$.city`; "
        "Extra inputs are not permitted - at `$.secret-of-a-stranger`"
    )
    assert await cache.set(KEY, bad)
    assert await cache.get(KEY, default="absent", type=Address) == "absent"
    assert await cache.get(KEY, lambda: ADDRESS, type=Address) == ADDRESS
    assert await reasons(errors, 3) == ["schema"] * 3
    # What was read is nobody's to see in a log.
    assert "4111" not in "".join(str(event.message) for event in errors)
    with pytest.raises(EncodeError, match="Input should be a valid string"):
        await told(codec=codec, strict=True).get("a:b", lambda: bad, type=Address)


async def test_what_is_no_json_is_no_matter_of_the_model(told: Make, errors: list[CacheEvent]) -> None:
    cache = told()
    assert await cache.set(KEY, msgspec.Raw(b'{"city"'))
    assert await cache.get(KEY, default="absent", type=Address) == "absent"
    assert await reasons(errors) == ["decode"]


async def test_the_type_of_what_is_raw_may_be_pydantics(make: Make) -> None:
    cache = make(codec="raw")
    short = Annotated[bytes, Field(max_length=2)]
    assert await cache.get(KEY, lambda: b"ab", type=short) == b"ab"
    assert await cache.get(KEY, never, type=short) == b"ab"
    assert await cache.get("a:b", lambda: b"abc", type=short) == b"abc"
    assert not await cache.exists("a:b")


class Secretive(BaseModel):
    password: pydantic.SecretStr


class Unwritable(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    inner: Any


class WithModel(msgspec.Struct):
    user: Address


@attrs.define
class AttrsWithModel:
    user: Address


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (list[Secretive], "pydantic writes a SecretStr as asterisks"),
        (pydantic.SecretStr, "pydantic writes a SecretStr as asterisks"),
        (WithModel, "type=WithModel is not accepted: msgspec cannot build a Address"),
        (list[AttrsWithModel], "msgspec cannot build a Address"),
        (dict[str, Address | CacheManager], "Unable to generate pydantic-core schema"),
    ],
    ids=shown,
)
async def test_a_type_that_cannot_be_read_back_is_refused(cache: CacheManager, kind: Any, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        await cache.get(KEY, never, type=kind)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "a right example: type=list[int]" in str(refused.value)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_model_that_cannot_be_written(make: Make, codec: Any) -> None:
    cache = make(codec=codec)
    with pytest.raises(
        EncodeError, match=r"\$\[0\]\.password is a SecretStr: pydantic writes a SecretStr as asterisks"
    ):
        await cache.set(KEY, [Secretive(password=pydantic.SecretStr("hunter2"))])
    with pytest.raises(EncodeError, match=r"\$\['a'\]\.inner\[0\] is a object"):
        await cache.set(KEY, {"a": Unwritable(inner=[object()])})
    value = Unwritable(inner=[object()])
    assert await cache.get(KEY, lambda: value, type=Unwritable) is value
    assert not await cache.exists(KEY)


async def test_a_pydantic_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch, cache: CacheManager) -> None:
    class Fresh(BaseModel):
        id: int

    monkeypatch.setattr(pydantic, "VERSION", "2.10.6")
    with pytest.raises(ConfigError, match=r"pydantic 2\.10\.6 is too old: at least 2\.11 is needed"):
        await cache.get(KEY, never, type=Fresh)
    with pytest.raises(EncodeError, match=r"pydantic 2\.10\.6 is too old"):
        await cache.set(KEY, Fresh(id=1))


async def test_a_model_in_l1_is_each_callers_own(make: Make) -> None:
    cache = make(l1="4MB")
    assert await cache.set(KEY, Node(value=1))
    one, two = [await cache.get(KEY, never, type=Node) for _ in range(2)]
    assert one == two == Node(value=1)
    assert one is not two
