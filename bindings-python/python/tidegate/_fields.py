"""Values that are split over fields: what a call of some of them reads and writes with, and its fallback."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ._errors import ConfigError, EncodeError
from ._field_checks import check_fetch, check_names, check_values
from ._tasks import is_awaitable
from ._tidegate import check_key
from ._types import MISSING

if TYPE_CHECKING:
    from ._base import ManagerBase
    from ._codec import Coder
    from ._context import Context
    from ._tidegate import Terms

Part = tuple[str, str, "bytes | None", str]
"""A field as the native half has it: name, `fresh`, `stale` or `new`, payload (None is a null), codec."""


class Found(dict[str, Any]):
    """The values of fields: those that stand in the store, as they stand there, and those that were fetched."""

    __slots__ = ("fetched", "standing")

    def __init__(self, values: Mapping[str, Any], standing: list[Part], fetched: Iterable[str]) -> None:
        super().__init__(values)
        self.standing = standing
        self.fetched = fetched


class FieldsCoder:
    """Instead of a `Coder`, for a call of fields: each is of a coder of its own."""

    __slots__ = ("_coder_of", "codec", "is_untyped")

    def __init__(self, coder_of: Callable[[str], Coder], is_untyped: bool = False) -> None:
        self.codec = "fields"
        self.is_untyped = is_untyped
        """Of one field at least."""
        self._coder_of = coder_of

    def encode(self, found: Found) -> list[Part]:
        """The parts of what a fallback found. Raises `Unencodable`, which names the field."""
        return [*found.standing, *(self.part(name, found[name]) for name in found.fetched)]

    def part(self, name: str, value: Any) -> Part:
        """A field that is to be stored."""
        from ._codec import Unencodable

        coder = self._coder_of(name)
        try:
            return name, "new", coder.encode(value), coder.codec
        except Unencodable as error:
            raise Unencodable(f"field {name!r}: {error}") from error

    def decode(self, parts: list[Part], _codec: str) -> dict[str, Any]:
        """The values of fields by name."""
        return {name: self._coder_of(name).decode(payload, codec) for name, _, payload, codec in parts}

    def value(self, parts: list[Part]) -> dict[str, Any]:
        """The value of a hit as the native half gives it."""
        return self.decode(parts, self.codec)

    def untyped(self, found: Found, same: dict[str, Any]) -> Iterable[tuple[str, Any, Any]]:
        """As a `Coder`'s: the fields that were fetched and have no type."""
        names = [name for name in found.fetched if self._coder_of(name).is_untyped]
        return [(f"field {name!r} of ", found[name], same[name]) for name in names]


class FieldsCall:
    """One `get_fields`, checked: the terms, the coder and the fallback that it is a `get` by."""

    __slots__ = ("coder", "fallback", "names", "terms")

    def __init__(
        self,
        manager: ManagerBase,
        names: object,
        fetch_missing: Any,
        kind: Any,
        options: dict[str, Any],
        refuse: Callable[[Any], None] | None = None,
    ) -> None:
        self.names = check_names(names)
        if fetch_missing is not MISSING:
            check_fetch(fetch_missing)
        terms = self.terms = manager._check_fields(self.names, options)
        kinds = kind if isinstance(kind, Mapping) else {}
        default = None if isinstance(kind, Mapping) else kind
        coders = {name: manager._coder_for(kinds.get(name, default), terms) for name in self.names}
        self.coder: Any = FieldsCoder(coders.__getitem__, any(coder.is_untyped for coder in coders.values()))
        self.fallback = filling_up(self.names, fetch_missing, self.coder, refuse)

    def in_order(self, found: dict[str, Any]) -> dict[str, Any]:
        """The fields in the order in which they were asked for."""
        return {name: found[name] for name in self.names if name in found}


def parts_of(manager: ManagerBase, key: str, values: object, options: dict[str, Any]) -> tuple[list[Part], Terms]:
    """What `set_fields` stores, and the terms that it goes by."""
    from ._codec import Unencodable

    fields = check_values(values)
    terms = manager._check_fields(list(fields), options, "write")
    check_key(key)
    coder = FieldsCoder(lambda _: manager._coder_for(None, terms))
    try:
        return [coder.part(name, value) for name, value in fields.items()], terms
    except Unencodable as error:
        raise EncodeError(f"the value of {key!r} is not stored: {error}") from error


def filling_up(
    names: list[str],
    fetch_missing: Callable[[list[str]], Any],
    coder: FieldsCoder,
    refuse: Callable[[Any], None] | None,
) -> Callable[[Context], Any]:
    """The fallback of a call of fields: fetches those that do not stand in the store, fresh.

    `refuse` refuses what is to be awaited, where nobody can.
    """

    def run(context: Context) -> Any:
        standing = [part for part in context._fields() if part[1] == "fresh"]
        there = coder.value(standing)
        missing = [name for name in names if name not in there]
        found = fetch_missing(missing)
        if refuse is not None:
            refuse(found)
        elif is_awaitable(found):
            return later(there, standing, missing, found)
        return joined(there, standing, missing, found)

    async def later(there: dict[str, Any], standing: list[Part], missing: list[str], found: Any) -> Found:
        return joined(there, standing, missing, await found)

    return run


def joined(there: dict[str, Any], standing: list[Part], missing: list[str], found: Any) -> Found:
    """What stands in the store and what was fetched; a field that was left out is None."""
    if not isinstance(found, Mapping):
        raise ConfigError(
            f"fetch_missing gave a {type(found).__qualname__}; "
            "it takes a list of fields and gives a dict: {name: value}"
        )
    return Found({**there, **{name: found.get(name) for name in missing}}, standing, missing)
