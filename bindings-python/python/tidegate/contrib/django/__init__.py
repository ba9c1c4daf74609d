"""tidegate in Django: a backend for `CACHES`, cached views, and invalidation by what changes in the database.

    CACHES = {
        "default": {
            "BACKEND": "tidegate.contrib.django.TidegateCache",
            "LOCATION": "redis://localhost:6379/0",
            "OPTIONS": {"service": "polls", "l1": "64MB"},
        }
    }

`OPTIONS` are those of `tidegate.CacheManager`. `docs/frameworks/django.md` has the rest.
"""

from __future__ import annotations

try:
    import django as django
except ImportError as error:
    raise ImportError(
        f'tidegate.contrib.django needs Django ({error}): pip install "tidegate[django]"', name=error.name
    ) from error

from ._async import Async
from ._backend import Blocking
from ._changes import async_manager, invalidate_on_change, invalidate_on_commit, manager
from ._managers import aclose, close
from ._views import cached_view
from .asgi import with_lifespan

__all__ = [
    "TidegateCache",
    "aclose",
    "async_manager",
    "cached_view",
    "close",
    "invalidate_on_change",
    "invalidate_on_commit",
    "manager",
    "with_lifespan",
]


class TidegateCache(Async, Blocking):
    """The backend. All of Django's cache API, on entries that are fenced by leases.

    `get_or_set` runs its function once in the fleet; a `delete` ends what is being computed too; Redis may fail. Values
    are data, never pickles: `EncodeError` for others.
    """
