"""Values that are split over fields, for threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from .._fields import FieldsCall, parts_of
from .._outcomes import confirmed
from .._types import MISSING
from . import _threads
from ._reading import Reader, answers, refuse_awaitable

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .._options import FieldsOptions, WriteOptions

T = TypeVar("T")


class ByFields(Reader):
    """Not for use by itself."""

    __slots__ = ()

    @overload
    def get_fields(self, key: str, names: Iterable[str], *, type: Any = None) -> dict[str, Any]: ...
    @overload
    def get_fields(
        self,
        key: str,
        names: Iterable[str],
        fetch_missing: Callable[[list[str]], Mapping[str, T]],
        *,
        type: Any = None,
        **options: Unpack[FieldsOptions],
    ) -> dict[str, T | None]: ...
    def get_fields(
        self, key: str, names: Iterable[str], fetch_missing: Any = MISSING, *, type: Any = None, **options: Any
    ) -> dict[str, Any]:
        """The values of these fields of `key`; `fetch_missing(names)` is called for those that are not cached.

        It gives a dict; a field that it leaves out is cached as None. It runs once in the whole fleet, under the lease
        of the key, and what it raises is raised unchanged. Fields carry the tags of the call that stored them, and end
        with whatever ends their key. Without it, those that are cached are given. `type` is what every value is decoded
        to, or a dict of types by field. The other options are those of `get`, but for `early_refresh`.

        >>> from tidegate.sync import CacheManager
        >>> cache = CacheManager()
        >>> cache.set_fields("user:profile:42", {"name": "Ada"})
        True
        >>> cache.get_fields("user:profile:42", ["name", "age"], lambda missing: {"age": 36})
        {'name': 'Ada', 'age': 36}
        """
        call = FieldsCall(self, names, fetch_missing, type, options, refuse_awaitable)
        if fetch_missing is not MISSING:
            return call.in_order(self._get(key, call.fallback, call.coder, call.terms))
        return call.in_order(self._get_found(key, {}, call.coder, call.terms))

    def set_fields(self, key: str, values: Mapping[str, Any], **options: Unpack[WriteOptions]) -> bool:
        """Store these fields; others of the key stay, and the whole value that may be cached under it goes.

        Answers as `set` does, with its options and errors; what the store does not confirm invalidates the whole key.
        """
        parts, terms = parts_of(self, key, values, cast("dict[str, Any]", options))
        if self._disabled_blocks and self._is_disabled():
            return False
        port = _threads.port()
        return self._told(confirmed(answers(port, self._native.set(port, [(key, parts)], "fields", terms))))

    def invalidate_field(self, key: str, name: str, *more: str, required: bool = False) -> bool:
        """Remove these fields of `key`, and the whole value that may be cached under it; other fields stay.

        Answers as `invalidate` does; what the store does not confirm is journalled as an invalidation of the whole key.

        >>> from tidegate.sync import CacheManager
        >>> CacheManager().invalidate_field("user:profile:42", "name")
        True
        """
        terms = self._check_fields([name, *more])
        port = _threads.port()
        return self._told(confirmed(answers(port, self._native.invalidate(port, [key], required, terms))))
