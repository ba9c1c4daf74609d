"""`@cache.cached(template)`: the key of a call is compiled once, when decorating."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, get_type_hints, overload

from ._annotations import returned_by, signature_of
from ._errors import ConfigError
from ._parsing import RIGHT_TEMPLATE, Template, parse_tag_template, parse_template
from ._templates import check_ignore, compile_call, compile_key, compile_tags
from ._types import MISSING

if TYPE_CHECKING:
    from typing import Concatenate, ParamSpec

    from ._codec import Coder
    from ._tidegate import Cache, Terms

    P = ParamSpec("P")
    Q = ParamSpec("Q")

R_co = TypeVar("R_co", covariant=True)
D = TypeVar("D")
R = TypeVar("R")

# Terms of calls with tags of their own, kept for so many different tags.
_TERMS_MAX = 1_024


if TYPE_CHECKING:

    class Manager(Protocol):
        """What a cached function asks of its manager: one for asyncio gives what is awaited, a blocking one values."""

        @property
        def _native(self) -> Cache: ...
        def _read_terms(self, options: dict[str, Any], *own: str) -> Terms | None: ...
        def _coder_for(self, kind: Any, terms: Terms | None) -> Coder: ...
        def _get(self, key: str, fallback: Any, coder: Coder, terms: Terms | None) -> Any: ...
        def _get_found(self, key: str, default: Any, coder: Coder, terms: Terms | None) -> Any: ...
        def _refresh(self, key: str, fallback: Any, coder: Coder, terms: Terms | None) -> Any: ...
        def invalidate(self, key: str, *more: str) -> Any: ...

    class AsyncCached(Protocol[P, R_co]):
        """An async function that is cached. The helpers take its arguments, without `self` or `cls`."""

        async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
        def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
            """The key of these arguments."""

        async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
            """Remove the entry of these arguments, here and for everybody; answers as the manager's `invalidate`."""

        async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
            """Run the function now, whatever is cached, store what it gives, and give it."""

        async def get_cached(self, *args: P.args, **kwargs: P.kwargs) -> R_co | None:
            """The cached value; None where there is none. The function is not run."""

        @overload
        def __get__(self, instance: None, owner: type, /) -> AsyncCached[P, R_co]: ...
        @overload
        def __get__(
            self: AsyncCached[Concatenate[Any, Q], R_co], instance: object, owner: type | None = None, /
        ) -> AsyncCached[Q, R_co]: ...

    class PlainCached(Protocol[P, R_co]):
        """A plain function that is cached. The helpers take its arguments, without `self` or `cls`."""

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
        def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
            """The key of these arguments."""

        def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
            """Remove the entry of these arguments, here and for everybody; answers as the manager's `invalidate`."""

        def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
            """Run the function now, whatever is cached, store what it gives, and give it."""

        def get_cached(self, *args: P.args, **kwargs: P.kwargs) -> R_co | None:
            """The cached value; None where there is none. The function is not run."""

        @overload
        def __get__(self, instance: None, owner: type, /) -> PlainCached[P, R_co]: ...
        @overload
        def __get__(
            self: PlainCached[Concatenate[Any, Q], R_co], instance: object, owner: type | None = None, /
        ) -> PlainCached[Q, R_co]: ...

    class AsyncIgnoring(AsyncCached[P, R_co], Protocol[P, R_co]):
        """An async function that is cached, with parameters in `ignore`: arguments by their names leave those out."""

        @overload
        def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
            """The key of these arguments."""

        @overload
        def key(self, **named: Any) -> str:
            """The same by names, without what is in `ignore`."""

        @overload
        async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
            """Remove the entry of these arguments, here and for everybody; answers as the manager's `invalidate`."""

        @overload
        async def invalidate(self, **named: Any) -> bool:
            """The same by names, without what is in `ignore`."""

        @overload
        async def get_cached(self, *args: P.args, **kwargs: P.kwargs) -> R_co | None:
            """The cached value; None where there is none. The function is not run."""

        @overload
        async def get_cached(self, **named: Any) -> R_co | None:
            """The same by names, without what is in `ignore`."""

        @overload
        def __get__(self, instance: None, owner: type, /) -> AsyncIgnoring[P, R_co]: ...
        @overload
        def __get__(
            self: AsyncIgnoring[Concatenate[Any, Q], R_co], instance: object, owner: type | None = None, /
        ) -> AsyncIgnoring[Q, R_co]: ...

    class PlainIgnoring(PlainCached[P, R_co], Protocol[P, R_co]):
        """A plain function that is cached, with parameters in `ignore`: arguments by their names leave those out."""

        @overload
        def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
            """The key of these arguments."""

        @overload
        def key(self, **named: Any) -> str:
            """The same by names, without what is in `ignore`."""

        @overload
        def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
            """Remove the entry of these arguments, here and for everybody; answers as the manager's `invalidate`."""

        @overload
        def invalidate(self, **named: Any) -> bool:
            """The same by names, without what is in `ignore`."""

        @overload
        def get_cached(self, *args: P.args, **kwargs: P.kwargs) -> R_co | None:
            """The cached value; None where there is none. The function is not run."""

        @overload
        def get_cached(self, **named: Any) -> R_co | None:
            """The same by names, without what is in `ignore`."""

        @overload
        def __get__(self, instance: None, owner: type, /) -> PlainIgnoring[P, R_co]: ...
        @overload
        def __get__(
            self: PlainIgnoring[Concatenate[Any, Q], R_co], instance: object, owner: type | None = None, /
        ) -> PlainIgnoring[Q, R_co]: ...

    class AsyncDecorator(Protocol):
        """What `CacheManager.cached` gives."""

        def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncCached[P, R]: ...

    class AsyncIgnoringDecorator(Protocol):
        """The same with `ignore`."""

        def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncIgnoring[P, R]: ...

    class PlainDecorator(Protocol):
        """What `tidegate.sync.CacheManager.cached` gives."""

        def __call__(self, function: Callable[P, R], /) -> PlainCached[P, R]: ...

    class PlainIgnoringDecorator(Protocol):
        """The same with `ignore`."""

        def __call__(self, function: Callable[P, R], /) -> PlainIgnoring[P, R]: ...


def async_decorator(manager: Manager, template: str, kind: Any, ignore: Iterable[str], options: dict[str, Any]) -> Any:
    """The decorator for async functions."""

    def decorate(function: Callable[..., Any]) -> Any:
        plan = _Plan(manager, function, said, kind, scope)
        if not inspect.iscoroutinefunction(function):
            raise ConfigError(
                f"{plan.name} is a plain function: the async manager caches async ones; "
                "a right example: `async def`, or tidegate.sync.CacheManager for plain functions"
            )
        key_of, skip = plan.key_of, plan.skip

        cached = plan.compile()

        async def invalidate(*args: Any, **kwargs: Any) -> Any:
            return await manager.invalidate(key_of(*args, **kwargs))

        async def get_cached(*args: Any, **kwargs: Any) -> Any:
            terms = plan.terms_of(*args, **kwargs)
            return await manager._get_found(key_of(*args, **kwargs), None, plan.coder or plan.resolve(), terms)

        async def refresh(*args: Any, **kwargs: Any) -> Any:
            key, coder = key_of(*args[skip:], **kwargs), plan.coder or plan.resolve()
            terms = plan.terms_of(*args[skip:], **kwargs)
            return await manager._refresh(key, lambda: function(*args, **kwargs), coder, terms)

        return plan.finish(cached, invalidate, get_cached, refresh)

    said = _Said(manager, template, ignore, options)
    scope = sys._getframe(2).f_locals
    return decorate


def plain_decorator(manager: Manager, template: str, kind: Any, ignore: Iterable[str], options: dict[str, Any]) -> Any:
    """The decorator for plain functions."""

    def decorate(function: Callable[..., Any]) -> Any:
        plan = _Plan(manager, function, said, kind, scope)
        if inspect.iscoroutinefunction(function):
            raise ConfigError(
                f"{plan.name} is async: the blocking manager caches plain functions; "
                "a right example: `def`, or tidegate.CacheManager for async functions"
            )
        key_of, skip = plan.key_of, plan.skip

        cached = plan.compile()

        def invalidate(*args: Any, **kwargs: Any) -> Any:
            return manager.invalidate(key_of(*args, **kwargs))

        def get_cached(*args: Any, **kwargs: Any) -> Any:
            terms = plan.terms_of(*args, **kwargs)
            return manager._get_found(key_of(*args, **kwargs), None, plan.coder or plan.resolve(), terms)

        def refresh(*args: Any, **kwargs: Any) -> Any:
            key, coder = key_of(*args[skip:], **kwargs), plan.coder or plan.resolve()
            terms = plan.terms_of(*args[skip:], **kwargs)
            return manager._refresh(key, lambda: function(*args, **kwargs), coder, terms)

        return plan.finish(cached, invalidate, get_cached, refresh)

    said = _Said(manager, template, ignore, options)
    scope = sys._getframe(2).f_locals
    return decorate


class _Said:
    """What the decorator was given, checked."""

    def __init__(
        self,
        manager: Manager,
        template: str,
        ignore: Iterable[str],
        options: dict[str, Any],
    ) -> None:
        if callable(template):
            raise ConfigError(f"cached needs a template for the key; a right example: @cache.cached({RIGHT_TEMPLATE})")
        self.ignore = check_ignore(ignore)
        self.template = parse_template(template)
        self.tags: list[Template] = []
        tags = options.get("tags")
        # What is no list of texts is refused with the other options.
        if isinstance(tags, (list, tuple, set, frozenset)) and all(isinstance(tag, str) for tag in tags):
            templates = [parse_tag_template(tag) for tag in tags]
            if any(tag.places for tag in templates):
                self.tags = templates
                # A sample of each, so that one that no value could make right is refused now.
                options = {**options, "tags": [_sample(tag) for tag in templates]}
        terms = manager._read_terms(options, "ignore", "type")
        if self.tags:
            terms = manager._read_terms({name: value for name, value in options.items() if name != "tags"})
        self.terms = terms


def _sample(template: Template) -> str:
    return "".join([f"{place.before}x" for place in template.places] + [template.after])


class _Plan:
    """What is known of a decorated function: its key, its tags, and its result's type."""

    def __init__(
        self,
        manager: Manager,
        function: Callable[..., Any],
        said: _Said,
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
        self._said = said
        parameters = self._parameters = list(signature_of(function).parameters.values())
        # `self` and `cls` are no part of the key.
        self.skip = int(bool(parameters) and parameters[0].name in ("self", "cls"))
        parameters = parameters[self.skip :]
        self.key_of = compile_key(self.name, parameters, said.template, said.ignore)
        self.terms = said.terms
        """Of every call; without its tags where they differ."""
        self.tags_of = compile_tags(self.name, parameters, said.tags, said.ignore) if said.tags else None
        self._tagged: dict[tuple[str, ...], Terms] = {}
        self._function = function
        self._kind = kind
        self._scope = scope
        self.coder: Coder | None = None
        # An annotation may name what comes later: asked again at the first call.
        with contextlib.suppress(NameError):
            self.resolve()

    def compile(self) -> Any:
        """The cached function."""
        said, function, manager = self._said, self._function, self.manager

        def ask(key: str, coder: Coder, terms: Terms | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return manager._get(key, lambda: function(*args, **kwargs), coder, terms)

        cached = compile_call(self.name, self._parameters, said.template, said.tags, ask, manager, self, function)
        return functools.wraps(function)(cached)

    def terms_of(self, *args: Any, **kwargs: Any) -> Terms | None:
        """The terms of a call, by its arguments without `self`."""
        return self.terms if self.tags_of is None else self.tagged(self.tags_of(*args, **kwargs))

    def tagged(self, tags: tuple[str, ...]) -> Terms:
        """The terms of a call whose tags have places: these."""
        terms = self._tagged.get(tags)
        if terms is None:
            if len(self._tagged) >= _TERMS_MAX:
                self._tagged.clear()
            terms = self._tagged[tags] = self.manager._native.terms(self.terms, "read", {"tags": tags})
        return terms

    def resolve(self) -> Coder:
        """The coder of the return annotation, or of `type`."""
        kind = self._kind
        if kind is MISSING:
            # One that is not there is no type: `-> Any` is one.
            annotations = {"return": returned_by(self._function)}
            holder = type("_Holder", (), {"__annotations__": annotations, "__module__": self._function.__module__})
            scope = {**getattr(self._function, "__globals__", {}), **self._scope}
            kind = get_type_hints(holder, scope, include_extras=True)["return"]
            kind = None if kind is type(None) else kind
        try:
            self.coder = coder = self.manager._coder_for(kind, self.terms)
        except ConfigError as error:
            raise ConfigError(f"the return annotation of {self.name}: {error}; or say cached(…, type=…)") from error
        self._scope = {}
        return coder

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
        signature = signature_of(self._function)
        return signature.replace(parameters=list(signature.parameters.values())[1:])
