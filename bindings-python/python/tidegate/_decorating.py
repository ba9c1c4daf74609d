"""The decorator for asyncio, as a method."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast, overload

from ._between import Between
from ._types import MISSING

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._decorators import AsyncDecorator, AsyncIgnoringDecorator, Manager
    from ._options import CallOptions


class Decorating(Between):
    """Not for use by itself."""

    __slots__ = ()

    @overload
    def cached(self, template: str, *, type: Any = MISSING, **options: Unpack[CallOptions]) -> AsyncDecorator: ...
    @overload
    def cached(
        self, template: str, *, type: Any = MISSING, ignore: Iterable[str], **options: Unpack[CallOptions]
    ) -> AsyncIgnoringDecorator: ...
    def cached(
        self, template: str, *, type: Any = MISSING, ignore: Iterable[str] = (), **options: Unpack[CallOptions]
    ) -> Any:
        """Cache what an async function gives under the key that `template` makes of its arguments.

        Every parameter stands in the template (`{user_id}`, `{user.id}`) or in `ignore`, `self` and `cls` aside. Values
        are decoded to the function's return annotation, or to `type`. Tags are templates too:
        `tags=["user:{user_id}"]`; the other options are those of `CallOptions`. The function gets `.invalidate(…)`,
        `.refresh(…)`, `.get_cached(…)` and `.key(…)`, which take its arguments; by their names, all but `refresh` do
        without what is in `ignore`.

        >>> import asyncio
        >>> from tidegate import CacheManager
        >>> cache = CacheManager()
        >>> @cache.cached("square:of:{number}", ttl="5m")
        ... async def square(number: int) -> int:
        ...     return number**2
        >>> asyncio.run(square(3)), square.key(3)
        (9, 'square:of:3')
        """
        from ._decorators import async_decorator

        manager = cast("Manager", self)
        return async_decorator(manager, template, type, ignore, cast("dict[str, Any]", options))
