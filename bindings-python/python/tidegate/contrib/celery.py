"""tidegate in Celery: a manager that is right in every pool, and is closed when a worker ends.

    cache = CacheManager("redis://localhost:6379/0", service="shop")    # tidegate.sync, where the app is made
    app = Celery("shop", broker="redis://localhost:6379/1")
    close_with_worker(cache)

A manager that is made at import, before the pool forks, is a fresh one in each child: no connection, thread or lock of
the parent's is used. One that is made in `worker_process_init` is right as well, and no better.
`docs/frameworks/celery.md` has the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._errors import ConfigError
from ..sync import CacheManager
from ._http import check_manager

try:
    from celery.signals import worker_process_shutdown, worker_shutdown
except ImportError as error:
    raise ImportError(
        f'tidegate.contrib.celery needs Celery ({error}): pip install "tidegate[celery]"', name=error.name
    ) from error

if TYPE_CHECKING:
    from .._types import Duration

__all__ = ["close_with_worker", "once"]


def close_with_worker(cache: CacheManager, *, timeout: Duration = 10) -> None:
    """Close the manager when its worker ends: in each child of a prefork pool, and in the worker of the other pools.

    What tasks have begun behind them is awaited for up to `timeout` seconds, then leases are free. In a process that is
    no worker (the web, eager mode) nothing is closed.
    """
    check_manager(CacheManager, cache, "close_with_worker(tidegate.sync.CacheManager(…))")

    def close(**_: Any) -> None:
        cache.close(timeout)

    # Kept by the signals: nobody else holds it.
    worker_process_shutdown.connect(close, weak=False)
    worker_shutdown.connect(close, weak=False)


def once(
    cache: CacheManager, template: str, *, ttl: Duration, limit: Duration = "1h"
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A task's function, run once in `ttl` for the same arguments in the whole fleet; later ones get its result.

    For a broker that delivers twice, a beat that is late, a button that is pressed twice. Stands below `@app.task`.
    While it runs, for up to `limit` (then it is a `HardTimeout`), others with the same arguments wait for its result;
    where it fails, the next one runs. `ttl` may be cut by up to a tenth, as any. With Redis away every one runs: tasks
    are to bear a second run.
    """
    check_manager(CacheManager, cache, 'once(tidegate.sync.CacheManager(…), "mail:welcome:{user_id}", ttl="1h")')
    if not isinstance(template, str):
        raise ConfigError(f'template={template!r} is not a text; a right example: "mail:welcome:{{user_id}}"')

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        # A task that gives None has been run as well; and none is run again behind one that was asked for.
        only: dict[str, Any] = {
            "null_ttl": ttl,
            "hard_timeout": limit,
            "wait": limit,
            "stale_if_error": 0,
            "stale_while_revalidate": 0,
            "early_refresh": False,
        }
        cached: Any = cache.cached(template, ttl=ttl, **only)(function)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            return cached(*args, **kwargs)

        return run

    return decorate
