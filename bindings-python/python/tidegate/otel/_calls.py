"""A call while it is under way: its span, how it ended, and the span of its fallback."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span, set_span_in_context

from .. import _tidegate
from .._errors import HardTimeout
from .._fallbacks import takes_context
from .._tasks import is_awaitable
from .._tidegate import Absent, Hit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from opentelemetry.trace import Span, SpanContext, Tracer

    from .._base import ManagerBase
    from ._figures import Figures

# So many fallbacks are remembered, for the spans of those who shared them.
_RECENT_MAX = 256

current: ContextVar[Call | None] = ContextVar("tidegate_otel_call", default=None)
"""The call that is under way here."""
_behind: ContextVar[SpanContext | None] = ContextVar("tidegate_otel_behind", default=None)
"""What goes on here was caused by a call that has been served: its span."""


class Tracing:
    """What is traced of one manager and its views, and how."""

    def __init__(
        self, root: ManagerBase, tracer: Tracer, figures: Figures, keys: bool | Callable[[str], str | None]
    ) -> None:
        self.tracer = tracer
        self.figures = figures
        self._keys = keys
        self.begin = _tidegate.begin_told
        self._attributes = {**figures.attributes, **_where(root._url)}
        self._recent: OrderedDict[tuple[str, str], SpanContext] = OrderedDict()

    def call(self, manager: ManagerBase, operation: str, key: str | None = None) -> Call:
        """A block around one call."""
        return Call(self, manager, operation, key)

    def attributes_of(self, manager: ManagerBase, key: str | None) -> dict[str, Any]:
        """What every span says of its call."""
        attributes: dict[str, Any] = dict(self._attributes)
        if self._keys and key is not None:
            said = key if self._keys is True else self._keys(key)
            if said is not None:
                attributes["tidegate.key"] = said
            if self._keys is True and manager._terms is not None and manager._terms.tenant is not None:
                attributes["tidegate.tenant"] = manager._terms.tenant
        return attributes

    def remember(self, key: tuple[str, str], span: Span) -> None:
        """The span of a fallback, for those who share what it gives."""
        recent = self._recent
        recent[key] = span.get_span_context()
        recent.move_to_end(key)
        while len(recent) > _RECENT_MAX:
            recent.popitem(last=False)

    def recalled(self, key: tuple[str, str]) -> SpanContext | None:
        """The span of the last fallback of a key, if it is not long ago."""
        return self._recent.get(key)


class Call:
    """One call: a context manager around it. Its span is current inside."""

    __slots__ = (
        "_began",
        "_caller",
        "_key",
        "_manager",
        "_operation",
        "_token",
        "_told",
        "attributes",
        "span",
        "tracing",
    )

    def __init__(self, tracing: Tracing, manager: ManagerBase, operation: str, key: str | None) -> None:
        self.tracing = tracing
        self._manager = manager
        self._operation = operation
        self._key = key
        self._told: BaseException | None = None
        """What the span of the fallback tells already."""
        self.attributes: dict[str, Any] = {}
        """What is known at its end."""

    def __enter__(self) -> Call:
        self._began = time.perf_counter()
        tracing = self.tracing
        attributes = tracing.attributes_of(self._manager, self._key)
        self.span = tracing.tracer.start_span(f"cache.{self._operation}", kind=SpanKind.INTERNAL, attributes=attributes)
        self._token = otel_context.attach(set_span_in_context(self.span))
        self._caller = current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not GeneratorExit:
            # Else its loop has gone, and the context with it.
            current.reset(self._caller)
            otel_context.detach(self._token)
        attributes = self.attributes
        span = self.span
        if error is not None:
            attributes["error.type"] = _name(error)
            if isinstance(error, Exception):
                span.set_status(Status(StatusCode.ERROR, None if error is self._told else str(error)))
                if error is not self._told:
                    span.record_exception(error)
        if self._is_shared(error):
            shared = self.tracing.recalled(self._place)
            if shared is not None:
                span.add_link(shared)
        span.set_attributes(attributes)
        span.end()
        self.tracing.figures.took(self._operation, time.perf_counter() - self._began, attributes)

    # --- what becomes of it ----------------------------------------------------------------------------------------

    def hit(self, held: object) -> None:
        """A value that is served, as the native half gives it."""
        if self.outcome is not None:
            # After its fallback failed, or took too long: what stood there.
            self.end("stale", None)
        elif isinstance(held, Hit):
            outcome = "l1" if held.source == "l1" else "hit" if held.stale is None else "stale"
            self.end(outcome, held.source)
            if held.stale is not None:
                self.attributes["tidegate.stale.reason"] = held.stale
        else:
            self.end("hit", None)

    def found(self, outcome: object) -> None:
        """The outcome of a read without a fallback."""
        self.end("miss" if outcome is None or outcome.__class__ is Absent else "hit", None)

    def end(self, outcome: str, source: str | None) -> None:
        """How it ends, as far as is known."""
        self.attributes["tidegate.outcome"] = outcome
        if source is not None:
            self.attributes["tidegate.source"] = source

    def confirmed(self, is_confirmed: bool) -> bool:
        """A write's or an invalidation's answer."""
        self.attributes["tidegate.outcome"] = "confirmed" if is_confirmed else "journalled"
        return is_confirmed

    @property
    def outcome(self) -> str | None:
        """As far as is known."""
        return self.attributes.get("tidegate.outcome")

    @property
    def _place(self) -> tuple[str, str]:
        return (self._manager._scope, self._key or "")

    def _is_shared(self, error: BaseException | None) -> bool:
        """Whether another caller's fallback gave what this one was given."""
        if self._key is None or self._operation not in ("get", "get_fields", "refresh"):
            return False
        if self.outcome is None:
            # Neither its own fallback nor an entry.
            if error is None:
                self.end("hit", "flight")
            return error is None or isinstance(error, Exception)
        return self.attributes.get("tidegate.source") == "flight"

    # --- its fallback ----------------------------------------------------------------------------------------------

    def traced(self, fallback: Any) -> Any:
        """The fallback, with a span of its own."""
        if not callable(fallback):
            return fallback
        if takes_context(fallback):

            def with_context(context: Any) -> Any:
                return self.run("fallback", lambda: fallback(context))

            return with_context

        def plain() -> Any:
            return self.run("fallback", fallback)

        return plain

    def traced_many(self, fetch_missing: Any) -> Any:
        """The same of a `fetch_missing`, or of `persist`."""
        if not callable(fetch_missing):
            return fetch_missing

        def fetch(keys: list[str]) -> Any:
            if _behind.get() is None:
                self.attributes["tidegate.outcome"] = "miss"
                self.attributes["tidegate.keys.fetched"] = self.attributes.get("tidegate.keys.fetched", 0) + len(keys)
            return self.run("fallback", lambda: fetch_missing(keys))

        return fetch

    def run(self, name: str, function: Callable[[], Any]) -> Any:
        """Runs a function in a span that is current meanwhile; an awaitable has it until it has ended."""
        open_ = _Open(self, name)
        token = otel_context.attach(open_.context)
        try:
            value = function()
        except BaseException as error:
            open_.end(error)
            raise
        finally:
            otel_context.detach(token)
        if is_awaitable(value):
            return _awaited(value, open_)
        open_.end(None)
        return value

    def tells(self, error: BaseException) -> None:
        """The span of the fallback tells of this one."""
        self._told = error


class _Open:
    """The span of a fallback while it runs, under that of its call; or of a refresh of its own, behind a call."""

    def __init__(self, call: Call, name: str) -> None:
        self._call = call
        self._name = name
        self._began = time.perf_counter()
        self._is_over = False
        tracing = call.tracing
        attributes = tracing.attributes_of(call._manager, call._key)
        cause = _behind.get()
        self._refresh: Span | None = None
        context: Context | None = None
        if cause is not None:
            links = [Link(cause)] if cause.is_valid else []
            # A trace of its own: nobody waits for it.
            self._refresh = tracing.tracer.start_span(
                "cache.refresh", context=Context(), kind=SpanKind.INTERNAL, attributes=attributes, links=links
            )
            self._refresh.set_attribute("tidegate.refresh", "behind")
            context = set_span_in_context(self._refresh, otel_context.get_current())
        self._span = tracing.tracer.start_span(f"cache.{name}", context=context, attributes=attributes)
        self.context = set_span_in_context(self._span, context)
        if name == "fallback" and call._key is not None:
            tracing.remember(call._place, self._span)

    def end(self, error: BaseException | None) -> None:
        """The function has ended."""
        if self._is_over:
            return
        self._is_over = True
        for span in (self._span, self._refresh):
            if span is None:
                continue
            if error is not None:
                span.set_attribute("error.type", _name(error))
                if isinstance(error, Exception):
                    span.record_exception(error)
                    span.set_status(Status(StatusCode.ERROR, str(error)))
            span.end()
        if error is not None:
            self._call.tells(error)
        if self._name == "fallback":
            self._call.tracing.figures.ran(time.perf_counter() - self._began, error)

    def __del__(self) -> None:
        # A task that is cancelled before its first step never runs what awaits the fallback.
        self.end(None)


async def _awaited(value: Any, open_: _Open) -> Any:
    token = otel_context.attach(open_.context)
    try:
        value = await value
    except GeneratorExit:
        # Its loop has gone, and the context with it.
        open_.end(None)
        raise
    except BaseException as error:
        otel_context.detach(token)
        open_.end(error)
        raise
    otel_context.detach(token)
    open_.end(None)
    return value


@contextmanager
def behind() -> Iterator[None]:
    """A block for what goes on behind a call that has been served: its spans are linked to the call's, not under it."""
    cause, caller = _behind.set(get_current_span().get_span_context()), current.set(None)
    try:
        yield
    finally:
        current.reset(caller)
        _behind.reset(cause)


def is_behind() -> bool:
    """Whether this goes on behind a call."""
    return _behind.get() is not None


def _name(error: BaseException) -> str:
    kind = type(error)
    if isinstance(error, HardTimeout) or kind.__module__ in ("builtins", "tidegate._errors"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _where(url: str) -> Mapping[str, str | int]:
    """The server by its semantic conventions, where a URL names one."""
    parts = urlsplit(url)
    if not parts.scheme.startswith(("redis", "valkey")):
        return {}
    where: dict[str, str | int] = {"db.system.name": "redis"}
    if "," in parts.netloc or parts.scheme.endswith("+unix") or not parts.hostname:
        return where
    return {**where, "server.address": parts.hostname, "server.port": parts.port or 6379}
