"""pytest's fixtures for tests of code that uses tidegate; see `tidegate.testing`.

A package of its own, which imports nothing: pytest loads it in every run, whether tidegate is used there or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import tidegate
    import tidegate.sync
    from tidegate.testing import FakeClock, MemoryStore, RecordedEvents

# An entry lives for its ttl, not for a little less.
_EXACT = {"ttl_jitter": 0}


@pytest.fixture
def tidegate_options() -> dict[str, Any]:
    """What the fixtures' managers are made with; to be overridden by a fixture of the test's own."""
    return {}


@pytest.fixture
def tidegate_clock() -> FakeClock:
    """A clock that stands until the test says `tidegate_clock.advance("5m")`."""
    from tidegate.testing import FakeClock

    return FakeClock()


@pytest.fixture
def tidegate_store(tidegate_clock: FakeClock) -> Iterator[MemoryStore]:
    """A store on that clock, which fails when the test says so; chance is the same in each run."""
    from tidegate.testing import MemoryStore

    store = MemoryStore(tidegate_clock, seed=0)
    yield store
    store.heal()


@pytest.fixture
def tidegate_cache(tidegate_store: MemoryStore, tidegate_options: dict[str, Any]) -> Iterator[tidegate.CacheManager]:
    """An async manager on that store, without jitter; closed when the test ends. Of any plugin's event loop."""
    from tidegate import CacheManager
    from tidegate.testing._ending import finish

    cache = CacheManager(store=tidegate_store, **{**_EXACT, **tidegate_options})
    yield cache
    tidegate_store.heal()
    finish(cache)


@pytest.fixture
def tidegate_sync_cache(
    tidegate_store: MemoryStore, tidegate_options: dict[str, Any]
) -> Iterator[tidegate.sync.CacheManager]:
    """The same that blocks; both meet on the store."""
    from tidegate.sync import CacheManager
    from tidegate.testing._ending import finish

    cache = CacheManager(store=tidegate_store, **{**_EXACT, **tidegate_options})
    yield cache
    tidegate_store.heal()
    finish(cache)


@pytest.fixture
def tidegate_events(request: pytest.FixtureRequest) -> Iterator[RecordedEvents]:
    """The events of the managers that the test has of these fixtures; of `tidegate_cache` where it names none."""
    from tidegate.testing import record

    names = [name for name in ("tidegate_cache", "tidegate_sync_cache") if name in request.fixturenames]
    recorded = record(*(request.getfixturevalue(name) for name in names or ["tidegate_cache"]))
    yield recorded
    recorded.stop()
