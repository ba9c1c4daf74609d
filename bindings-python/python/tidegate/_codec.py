"""Values as payloads and back, as one object for each call: a coder.

A call writes with its own codec and reads whatever codec an entry is in. What a miss returns takes the same way as
what a later hit returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from . import _encoding
from ._decoding import Decode, Unreadable, Way, way_of
from ._encoding import Unencodable as Unencodable
from ._models import is_broken, said_by_models

Encode = Callable[[Any], "bytes | None"]

CODECS = ("json", "msgpack", "raw")


class Held(Protocol):
    """A payload and its codec: a hit, an item of a queue."""

    @property
    def payload(self) -> bytes | None: ...
    @property
    def codec(self) -> str: ...


class Coder:
    """What a call writes its values with, and reads entries with: exchangeable as one object.

    `encode` gives what is stored as of `codec` (None is a null) and raises `Unencodable`; `json`, `msgpack` and `raw`
    read what is of that codec, and raise what they like. L1 looks for them by these names, and shares what one of them
    made among the coders that have it in common.
    """

    __slots__ = ("codec", "encode", "is_untyped", "json", "msgpack", "raw")

    def __init__(
        self, codec: str, encode: Encode, json: Decode, msgpack: Decode, raw: Decode, is_untyped: bool = False
    ) -> None:
        self.codec = codec
        self.is_untyped = is_untyped
        """Nobody said what values come back as, and the codec takes more than it gives back."""
        self.encode = encode
        self.json = json
        self.msgpack = msgpack
        self.raw = raw

    def decode(self, payload: bytes | None, codec: str) -> Any:
        """The value of a payload of any codec."""
        if payload is None:
            return None
        decode: Decode = getattr(self, codec)
        return decode(payload)

    def value(self, held: bytes | Held | None) -> Any:
        """The value of a hit as the native half gives it: JSON's bytes, None for a null, another codec by its name."""
        if held is None:
            return None
        return self.json(held) if isinstance(held, bytes) else self.decode(held.payload, held.codec)

    def untyped(self, value: Any, same: Any) -> Iterable[tuple[str, Any, Any]]:
        """What nobody named the type of: where it is, as it was given, and as it comes back."""
        return [("", value, same)]


class Coders(dict[Any, Coder]):
    """The coders that write with one codec, by the types that were asked for; made once each."""

    __slots__ = ("_codec", "_ways")

    def __init__(self, codec: str, ways: dict[Any, Way]) -> None:
        self._codec = codec
        self._ways = ways

    def __missing__(self, kind: Any) -> Coder:
        way = self._ways.get(kind)
        if way is None:
            way = self._ways[kind] = way_of(kind)
        # No type would read what `raw` holds as anything but bytes.
        coder = self[kind] = self._of(way, kind is None and self._codec != "raw")
        return coder

    def made(self, kind: Any) -> Coder:
        """The coder of a type that cannot be looked up, since it is not hashable."""
        return self._of(way_of(kind))

    def _of(self, way: Way, is_untyped: bool = False) -> Coder:
        encode = _encoding.encoder(self._codec, way.models)
        return Coder(self._codec, encode, way.json, way.msgpack, way.raw, is_untyped)


def codecs() -> dict[str, Coders]:
    """A manager's coders, by the codec that they write with."""
    ways: dict[Any, Way] = {}
    return {codec: Coders(codec, ways) for codec in CODECS}


PLAIN = codecs()["json"][None]
"""Of values of any type."""


def why_undecodable(error: Exception) -> str:
    """`decode` for bytes that are no payload of their codec, `schema` for one of another shape than the type's."""
    if isinstance(error, msgspec.ValidationError):
        return "schema"
    is_decode = isinstance(error, (msgspec.DecodeError, UnicodeDecodeError, Unreadable)) or is_broken(error)
    return "decode" if is_decode else "schema"


def said(error: BaseException) -> str:
    """What an error says, without the values that pydantic would show."""
    return said_by_models(error) or str(error)
