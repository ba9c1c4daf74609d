"""Spans and metrics of OpenTelemetry: `instrument(cache)`. Needs `pip install "tidegate[otel]"`.

>>> from tidegate.otel import instrument
>>> from tidegate.sync import CacheManager
>>> cache = CacheManager(service="billing")
>>> instrumentation = instrument(cache)
>>> cache.get("user:profile:42", lambda: "Ada")
'Ada'
>>> instrumentation.uninstrument()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

try:
    from opentelemetry import metrics, trace
except ImportError as missing:
    raise ImportError(
        "tidegate.otel needs the package opentelemetry-api, which is not installed: pip install 'tidegate[otel]'"
    ) from missing

from .. import _tidegate
from .._base import ManagerBase
from .._errors import ConfigError
from .._manager import CacheManager
from ..sync import CacheManager as Blocking
from . import _async, _blocking
from ._calls import Tracing
from ._figures import Figures

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["Instrumentation", "instrument"]


class Instrumentation:
    """What `instrument` did to a manager and its views."""

    def __init__(self, root: ManagerBase, before: type, figures: Figures) -> None:
        self._root = root
        self._before = before
        self._figures = figures

    def uninstrument(self) -> None:
        """Ends it: no span is begun any more, and no figure is given. What is under way ends its spans."""
        self._figures.end()
        if isinstance(self._root, _async.Traced | _blocking.Traced):
            _turn(self._root, self._before)


def instrument(
    cache: CacheManager | Blocking,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    *,
    keys: bool | Callable[[str], str | None] = False,
) -> Instrumentation:
    """Begin a span for each call of `cache` and its views, and give their figures to a meter.

    The providers are the global ones by default. No key is in a span: `keys=True` puts each call's own into
    `tidegate.key` (and its tenant into `tidegate.tenant`), and a function what it makes of the key, such as its
    template. `ConfigError` for what is instrumented already, or is no manager.
    """
    root = cast("object", getattr(cache, "_root", None) or cache)
    if not isinstance(root, ManagerBase):
        raise ConfigError(f"cache={cache!r} is no CacheManager; a right example: instrument(CacheManager())")
    if isinstance(root, _async.Traced | _blocking.Traced):
        raise ConfigError(f"{root!r} is instrumented already; `uninstrument` ends that")
    if not isinstance(keys, bool) and not callable(keys):
        raise ConfigError(
            f"keys={keys!r} is neither True, False nor a function of a key; a right example: "
            'instrument(cache, keys=lambda key: key.rpartition(":")[0])'
        )
    version = _tidegate.__version__
    tracer = trace.get_tracer("tidegate", version, tracer_provider)
    meter = metrics.get_meter("tidegate", version, meter_provider)
    figures = Figures(root, meter)
    before = type(root)
    traced = _async.Traced if isinstance(root, CacheManager) else _blocking.Traced
    space = {
        "__slots__": (),
        "__module__": before.__module__,
        "__qualname__": before.__qualname__,
        "__doc__": before.__doc__,
        "_tracing": Tracing(root, tracer, figures, keys),
    }
    # A manager that is not instrumented has nothing to ask: one that is, is of another class.
    _turn(root, type(before.__name__, (traced, before), space))
    return Instrumentation(root, before, figures)


def _turn(root: ManagerBase, kind: type) -> None:
    for one in (root, *root._views):
        one.__class__ = kind
        # It binds anew what every call comes by.
        one._use(root._native)
