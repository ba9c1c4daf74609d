"""`@cache.cached(template)`: the key of a call is compiled once, when decorating."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, get_type_hints, overload

from . import _tidegate
from ._errors import ConfigError
from ._keys import RIGHT_TEMPLATE, Place, Template, parse_template
from ._types import MISSING

if TYPE_CHECKING:
    from typing import Concatenate, ParamSpec

    from ._codec import Decode
    from ._manager import CacheManager
    from ._types import Duration
    from .sync import CacheManager as BlockingCacheManager

    P = ParamSpec("P")
    Q = ParamSpec("Q")

R_co = TypeVar("R_co", covariant=True)
D = TypeVar("D")
R = TypeVar("R")

_OPTIONS = ("ignore", "ttl", "type")


if TYPE_CHECKING:

    class AsyncCached(Protocol[P, R_co]):
        """An async function that is cached. The helpers take its arguments, without `self` or `cls`."""

        async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
        def key(self, *args: P.args, **kwargs: P.kwargs) -> str: ...
        async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool: ...
        async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
        async def get_cached(self, *args: P.args, **kwargs: P.kwargs) -> R_co | None: ...
        @overload
        def __get__(self, instance: None, owner: type, /) -> AsyncCached[P, R_co]: ...
        @overload
        def __get__(
            self: AsyncCached[Concatenate[Any, Q], R_co], instance: object, owner: type | None = None, /
        ) -> AsyncCached[Q, R_co]: ...

    class PlainCached(Protocol[P, R_co]):
        """A plain function that is cached. The helpers take its arguments, without `self` or `cls`."""

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
        def key(self, *args: P.args, **kwargs: P.kwargs) -> str: ...
        def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool: ...
        def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
        def get_cached(self, *args: P.args, **kwargs: P.kwargs) -> R_co | None: ...
        @overload
        def __get__(self, instance: None, owner: type, /) -> PlainCached[P, R_co]: ...
        @overload
        def __get__(
            self: PlainCached[Concatenate[Any, Q], R_co], instance: object, owner: type | None = None, /
        ) -> PlainCached[Q, R_co]: ...

    class AsyncDecorator(Protocol):
        """What `CacheManager.cached` gives."""

        def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncCached[P, R]: ...

    class PlainDecorator(Protocol):
        """What `tidegate.sync.CacheManager.cached` gives."""

        def __call__(self, function: Callable[P, R], /) -> PlainCached[P, R]: ...


def async_decorator(
    manager: CacheManager,
    template: str,
    ttl: Duration | None,
    kind: Any,
    ignore: Iterable[str],
    unknown: dict[str, Any],
) -> Any:
    """The decorator for async functions."""

    def decorate(function: Callable[..., Any]) -> Any:
        plan = _Plan(manager, function, parsed, ignore, kind, scope)
        if not inspect.iscoroutinefunction(function):
            raise ConfigError(
                f"{plan.name} is a plain function: the async manager caches async ones; "
                "a right example: `async def`, or tidegate.sync.CacheManager for plain functions"
            )
        ports, key_of, skip = manager._ports, plan.key_of, plan.skip

        @functools.wraps(function)
        async def cached(*args: Any, **kwargs: Any) -> Any:
            key = key_of(*args[skip:], **kwargs)
            decode = plan.decode or plan.resolve()
            port = ports.get(manager._running_loop()) or manager._enter_loop()
            if not manager._disabled_blocks:
                outcome = manager._begin(port, key)
                if outcome.__class__ is bytes:
                    try:
                        return decode(outcome)
                    except Exception:  # noqa: BLE001 - told and mended in `_settle`
                        pass
                return await manager._settle(port, outcome, key, lambda: function(*args, **kwargs), ttl_ms, decode)
            return await manager._get(key, lambda: function(*args, **kwargs), ttl_ms, decode)

        async def invalidate(*args: Any, **kwargs: Any) -> bool:
            return await manager.invalidate(key_of(*args, **kwargs))

        async def get_cached(*args: Any, **kwargs: Any) -> Any:
            return await manager._get_or_default(key_of(*args, **kwargs), None, plan.decode or plan.resolve(), None, {})

        async def refresh(*args: Any, **kwargs: Any) -> Any:
            decode = plan.decode or plan.resolve()
            return await manager._refresh(
                key_of(*args[skip:], **kwargs), lambda: function(*args, **kwargs), ttl_ms, decode
            )

        return plan.finish(cached, invalidate, get_cached, refresh)

    parsed, ttl_ms = _check(template, ttl, ignore, unknown)
    scope = sys._getframe(2).f_locals
    return decorate


def plain_decorator(
    manager: BlockingCacheManager,
    template: str,
    ttl: Duration | None,
    kind: Any,
    ignore: Iterable[str],
    unknown: dict[str, Any],
) -> Any:
    """The decorator for plain functions."""

    def decorate(function: Callable[..., Any]) -> Any:
        plan = _Plan(manager, function, parsed, ignore, kind, scope)
        if inspect.iscoroutinefunction(function):
            raise ConfigError(
                f"{plan.name} is async: the blocking manager caches plain functions; "
                "a right example: `def`, or tidegate.CacheManager for async functions"
            )
        key_of, skip = plan.key_of, plan.skip

        @functools.wraps(function)
        def cached(*args: Any, **kwargs: Any) -> Any:
            key = key_of(*args[skip:], **kwargs)
            decode = plan.decode or plan.resolve()
            return manager._get(key, lambda: function(*args, **kwargs), ttl_ms, decode)

        def invalidate(*args: Any, **kwargs: Any) -> bool:
            return manager.invalidate(key_of(*args, **kwargs))

        def get_cached(*args: Any, **kwargs: Any) -> Any:
            return manager._get_or_default(key_of(*args, **kwargs), None, plan.decode or plan.resolve(), None, {})

        def refresh(*args: Any, **kwargs: Any) -> Any:
            decode = plan.decode or plan.resolve()
            return manager._refresh(key_of(*args[skip:], **kwargs), lambda: function(*args, **kwargs), ttl_ms, decode)

        return plan.finish(cached, invalidate, get_cached, refresh)

    parsed, ttl_ms = _check(template, ttl, ignore, unknown)
    scope = sys._getframe(2).f_locals
    return decorate


def _check(
    template: str, ttl: Duration | None, ignore: Iterable[str], unknown: dict[str, Any]
) -> tuple[Template, int | None]:
    if unknown:
        raise _tidegate.unknown_option(next(iter(unknown)), _OPTIONS)
    if callable(template):
        raise ConfigError(f"cached needs a template for the key; a right example: @cache.cached({RIGHT_TEMPLATE})")
    if isinstance(ignore, str):
        raise ConfigError(f"ignore={ignore!r} is a text, not several names; a right example: ignore=({ignore!r},)")
    return parse_template(template), None if ttl is None else _tidegate.positive_ms("ttl", ttl)


class _Plan:
    """What is known of a decorated function: its key, and its result's type."""

    def __init__(
        self,
        manager: CacheManager | BlockingCacheManager,
        function: Callable[..., Any],
        template: Template,
        ignore: Iterable[str],
        kind: Any,
        scope: dict[str, Any],
    ) -> None:
        if not callable(function) or isinstance(function, (staticmethod, classmethod)):
            raise ConfigError(
                f"cached got {function!r}, which is no function; "
                "@staticmethod and @classmethod stand above @cache.cached(…)"
            )
        self.name = getattr(function, "__qualname__", repr(function))
        self.manager = manager
        parameters = list(inspect.signature(function).parameters.values())
        # `self` and `cls` are no part of the key.
        self.skip = int(bool(parameters) and parameters[0].name in ("self", "cls"))
        self.key_of = _compile(self.name, parameters[self.skip :], template, frozenset(ignore))
        self._function = function
        self._kind = kind
        self._scope = scope
        self.decode: Decode | None = None
        # An annotation may name what comes later: asked again at the first call.
        with contextlib.suppress(NameError):
            self.resolve()

    def resolve(self) -> Decode:
        """The decoder of the return annotation, or of `type`."""
        kind = self._kind
        if kind is MISSING:
            annotations = {"return": self._function.__annotations__.get("return", Any)}
            holder = type("_Holder", (), {"__annotations__": annotations, "__module__": self._function.__module__})
            scope = {**getattr(self._function, "__globals__", {}), **self._scope}
            kind = get_type_hints(holder, scope, include_extras=True)["return"]
            kind = None if kind is type(None) else kind
        try:
            self.decode = decode = self.manager._decoder(kind)
        except ConfigError as error:
            raise ConfigError(f"the return annotation of {self.name}: {error}; or say cached(…, type=…)") from error
        self._scope = {}
        return decode

    def finish(self, cached: Any, invalidate: Any, get_cached: Any, refresh: Any) -> Any:
        """Puts the helpers on the function; for a method, wraps it so that `refresh` has its `self`."""
        cached.key = self.key_of
        cached.invalidate = invalidate
        cached.get_cached = get_cached
        cached.refresh = refresh
        return _Method(cached) if self.skip else cached


class _Method:
    """A cached function in a class."""

    def __init__(self, function: Any) -> None:
        functools.update_wrapper(self, function, updated=())
        self._function = function

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else _BoundMethod(self._function, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


class _BoundMethod:
    """A cached function of one object: `obj.get_user(42)`, `obj.get_user.refresh(42)`."""

    __slots__ = ("__self__", "_function")

    def __init__(self, function: Any, instance: Any) -> None:
        self._function = function
        self.__self__ = instance

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(self.__self__, *args, **kwargs)

    def refresh(self, *args: Any, **kwargs: Any) -> Any:
        return self._function.refresh(self.__self__, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    @property
    def __signature__(self) -> inspect.Signature:
        signature = inspect.signature(self._function)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


def _compile(
    name: str, parameters: list[inspect.Parameter], template: Template, ignore: frozenset[str]
) -> Callable[..., str]:
    """A function with the same parameters that gives the key."""
    _check_parameters(name, parameters, template, ignore)
    names: dict[str, Any] = {"_tg_part": _tidegate.key_part, "_tg_type": type, "_tg_int": int, "_tg_str": str}
    declared: list[str] = []
    kinds = inspect.Parameter
    for at, parameter in enumerate(parameters):
        text = parameter.name
        if parameter.kind is kinds.VAR_POSITIONAL:
            text = f"*{text}"
        elif parameter.kind is kinds.VAR_KEYWORD:
            text = f"**{text}"
        elif parameter.default is not parameter.empty:
            names[f"_tg_default_{at}"] = parameter.default
            text = f"{text}=_tg_default_{at}"
        before = parameters[at - 1].kind if at else None
        if before is kinds.POSITIONAL_ONLY and parameter.kind is not kinds.POSITIONAL_ONLY:
            declared.append("/")
        if parameter.kind is kinds.KEYWORD_ONLY and before not in (kinds.KEYWORD_ONLY, kinds.VAR_POSITIONAL):
            declared.append("*")
        declared.append(text)
    if parameters and parameters[-1].kind is kinds.POSITIONAL_ONLY:
        declared.append("/")
    pieces = [piece for place in template.places for piece in (repr(place.before), _place(place))]
    source = f"def key({', '.join(declared)}):\n    return {' + '.join([*pieces, repr(template.after)])}\n"
    exec(compile(source, f"<key of {name}>", "exec"), names)
    key: Callable[..., str] = names["key"]
    key.__qualname__ = f"{name}.key"
    key.__doc__ = f"The key of a call, by the template {template.text!r}."
    return key


def _place(place: Place) -> str:
    value = place.text
    # Most ids are integers and need no escape.
    return f"(_tg_str({value}) if _tg_type({value}) is _tg_int else _tg_part({value!r}, {value}))"


def _check_parameters(
    name: str, parameters: list[inspect.Parameter], template: Template, ignore: frozenset[str]
) -> None:
    known = {parameter.name for parameter in parameters}
    placed = {place.name for place in template.places}
    for place in template.places:
        if place.name not in known:
            raise ConfigError(
                f"template {template.text!r} has the place {{{place.text}}}, but {name} has no parameter {place.name!r}"
            )
    for ignored in ignore:
        if ignored not in known:
            raise ConfigError(f"ignore names {ignored!r}, but {name} has no such parameter")
    for parameter in parameters:
        if parameter.name in ignore or parameter.name in placed:
            continue
        raise ConfigError(
            f"parameter {parameter.name!r} of {name} stands neither in the template {template.text!r} nor in ignore: "
            "two calls with different answers would share a key; "
            f'a right example: "{template.text}:{{{parameter.name}}}", or ignore=({parameter.name!r},)'
        )
