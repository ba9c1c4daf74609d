"""Values, entries and errors that a stranger has chosen: misses or refusals, and no line of a log is theirs."""

from __future__ import annotations

import enum
import logging
import zlib
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import pydantic
import pytest
import redis

from tests.support.redis_server import RedisServer
from tidegate import CacheEvent, EncodeError, key

from .conftest import PATIENT, Make, MakeBlocking
from .helpers import eventually, forged, never, opened, reasons, shown

KEY = "user:profile:1"
HOSTILE = "a\r\nWARNING forged\x1b[2J\x00\x7f\x9b\u2028\u202eb"


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    id: int = 0


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Checked:
    name: str

    def __post_init__(self) -> None:
        raise ValueError(f"no such name: {self.name}")


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    name: str = ""

    @pydantic.field_validator("name")
    @classmethod
    def refuse(cls, name: str) -> str:
        if name:
            raise ValueError(f"no such name: {name}")
        return name


def _is_one_line(text: str | None) -> bool:
    assert text is not None
    return text.isprintable() and "forged" in text


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({HOSTILE: 1}, Closed),
        (HOSTILE, Colour),
        (HOSTILE, Literal["red"]),
        ({"name": HOSTILE}, Checked),
        ({"name": HOSTILE}, Model),
        ({HOSTILE: 1}, Model),
    ],
    ids=lambda value: shown(value).replace("\x00", ""),
)
async def test_a_fault_is_one_line_of_a_log_whatever_the_value_says(
    told: Make,
    errors: list[CacheEvent],
    caplog: pytest.LogCaptureFixture,
    codec: Any,
    value: Any,
    kind: Any,
) -> None:
    cache = told(codec=codec)
    with caplog.at_level(logging.WARNING, "tidegate"):
        assert await cache.get(KEY, lambda: value, type=kind) == value
        assert await cache.set(KEY, value)
        assert await cache.get(KEY, default="absent", type=kind) == "absent"
        assert await reasons(errors, 2) == ["schema", "schema"]

        async def is_logged() -> bool:
            return bool(caplog.records)

        assert await eventually(is_logged)
    texts = [event.message for event in errors] + [record.getMessage() for record in caplog.records]
    assert all(_is_one_line(text) for text in texts), texts


@pytest.mark.parametrize("value", [{HOSTILE: object()}, {"a": {HOSTILE: [1j]}}], ids=["key", "deep key"])
@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_the_place_of_a_fault_is_shown_escaped(
    told: Make, errors: list[CacheEvent], codec: Any, value: Any
) -> None:
    cache = told(codec=codec)
    with pytest.raises(EncodeError) as refused:
        await cache.set(KEY, value)
    assert _is_one_line(str(refused.value))
    await cache.get(KEY, lambda: value)
    assert await reasons(errors) == ["encode"]
    assert _is_one_line(errors[0].message)


class Rude(Exception):
    def __repr__(self) -> str:
        return HOSTILE + "\ud800"

    __str__ = __repr__


async def test_errors_of_users_code_are_told_on_one_line(
    told: Make, make: Make, errors: list[CacheEvent], make_blocking: MakeBlocking
) -> None:
    def rude(*_: object) -> Any:
        raise Rude

    @dataclass
    class Ruder:
        name: str

        def __post_init__(self) -> None:
            rude()

    assert await make(version=1).set("a:old", 1)
    cache = told(version=2, upgrade={1: rude})
    assert await cache.get("a:old", lambda: 2) == 2
    # A lone surrogate in its text is nobody's error.
    assert await cache.get("a:type", lambda: {"name": "Ada"}, type=Ruder) == {"name": "Ada"}  # type: ignore[comparison-overlap]
    queue = cache.write_behind("q", rude, max_attempts=2, max_delay=0)
    await queue.put("a:b", 1)
    await cache.on_event("user.updated", rude, max_attempts=1).started()
    await cache.publish_event("user.updated", 1)

    async def are_told() -> bool:
        return {"upgrade", "schema", "sink", "event_handler"} <= {event.reason for event in errors}

    assert await eventually(are_told, 20)
    for event in errors:
        if event.reason in ("upgrade", "schema", "sink", "event_handler"):
            assert _is_one_line(event.message), event
    blocking = make_blocking()
    assert blocking.get("a:type", lambda: {"name": "Ada"}, type=Ruder) == {"name": "Ada"}  # type: ignore[comparison-overlap]


async def test_a_strangers_tenant_and_key_forge_no_line(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    cache = make()
    tenant = cache.tenant(HOSTILE)
    with caplog.at_level(logging.WARNING, "tidegate"):
        await tenant.get(key("user", HOSTILE), lambda: object())

        async def is_logged() -> bool:
            return bool(caplog.records)

        assert await eventually(is_logged)
    for record in caplog.records:
        assert _is_one_line(record.getMessage())


MEGABYTE = 1 << 20


def _deflated(size: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(MEGABYTE)) for _ in range(size // MEGABYTE)) + packer.flush()


@pytest.mark.parametrize(
    ("payload", "compression", "length", "reason"),
    [
        (_deflated(64 * MEGABYTE), 3, 64 * MEGABYTE, "too_large"),
        (_deflated(64 * MEGABYTE), 3, MEGABYTE, "decompress"),
        (_deflated(MEGABYTE)[:500], 3, MEGABYTE, "ratio"),
        (b"\x78\x9c", 3, 1_000, "decompress"),
        (b"\xff" * 64, 1, 1_000, "decompress"),
        (b"\xff" * 64, 2, 1_000, "decompress"),
        (b"[]", 4, 2, "unknown_compression"),
        (b"[" * 65 + b"]" * 65, 0, None, "nesting"),
        (b"[" * 100_000, 0, None, "nesting"),
        (b"[1", 0, None, "decode"),
        (b'"\\ud800"', 0, None, "decode"),
        (b'"\xff"', 0, None, "decode"),
        (b"NaN", 0, None, "decode"),
        (b"", 0, None, "decode"),
    ],
    ids=shown,
)
async def test_a_hostile_entry_is_a_miss_with_its_reason(
    redis_server: RedisServer, service: str, payload: bytes, compression: int, length: int | None, reason: str
) -> None:
    errors: list[CacheEvent] = []
    with redis.Redis.from_url(redis_server.url) as client:
        async with opened(redis_server.url, service=service, **PATIENT) as cache:
            cache.on("cache.error", errors.append)
            assert await cache.set(KEY, 1)
            entry: Any = client.get(f"{service}:v1:{KEY}")
            client.set(f"{service}:v1:{KEY}", forged(entry, payload, compression, length))
            assert await cache.get(KEY, default="absent") == "absent"
            assert await reasons(errors) == [reason]
            assert await cache.get(KEY, lambda: "anew") == "anew"
            assert await cache.get(KEY, never) == "anew"


async def test_keys_that_mean_something_elsewhere_are_only_keys(make: Make) -> None:
    value = {"__proto__": {"isAdmin": True}, "constructor": {"prototype": 1}, "__class__": "x", "__dict__": {}}
    for codec in ("json", "msgpack"):
        cache = make(codec=codec)
        assert await cache.get(KEY, lambda: value) == value
        assert await cache.get(KEY, never) == value
        assert await cache.set("a:struct", {**value, "id": 5})

        @dataclass
        class User:
            id: int

        user = await cache.get("a:struct", default=None, type=User)
        assert user is not None
        assert vars(user) == {"id": 5}
        assert type(user) is User
