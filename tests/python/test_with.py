"""The wrong `with` says which one is right."""

from __future__ import annotations

from typing import Any

import pytest

import tidegate
import tidegate.sync


def test_with_and_asyncios_manager_says_async_with() -> None:
    cache: Any = tidegate.CacheManager()
    with pytest.raises(TypeError, match=r"`async with`.*tidegate\.sync"), cache:
        pass


async def test_async_with_and_the_blocking_manager_says_with() -> None:
    cache: Any = tidegate.sync.CacheManager()
    with pytest.raises(TypeError, match="this CacheManager blocks: `with`"):
        async with cache:
            pass


async def test_the_right_ones_are_as_ever() -> None:
    async with tidegate.CacheManager() as cache:
        assert await cache.get("user:name:1", lambda: "Ada") == "Ada"
    with tidegate.sync.CacheManager() as blocking:
        assert blocking.get("user:name:1", lambda: "Ada") == "Ada"
