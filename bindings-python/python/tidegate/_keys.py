"""Building keys and tags from data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _tidegate

if TYPE_CHECKING:
    from uuid import UUID


def key(*parts: str | int | bool | UUID) -> str:
    """Join parts to a key, each escaped so that data never makes a segment of its own; `KeyFormatError` for others.

    >>> key("user", "profile", 42)
    'user:profile:42'
    >>> key("file", "a:b/c d")
    'file:a%3Ab/c%20d'
    """
    return _tidegate.build_key(*parts)


class Tag(str):
    """The name of a tag, to be told apart from a key. A text wherever a tag is named."""

    __slots__ = ()


def tag(*parts: str | int | bool | UUID) -> Tag:
    """A tag for what a handler of events gives: of one text its name as it is, of parts as `key` joins them.

    >>> tag("user:42") == tag("user", 42) == "user:42"
    True
    >>> tag("file", "a:b")
    'file:a%3Ab'
    """
    name = parts[0] if len(parts) == 1 and isinstance(parts[0], str) else _tidegate.build_key("tag", *parts)[4:]
    _tidegate.check_label("tag", name)
    return Tag(name)
