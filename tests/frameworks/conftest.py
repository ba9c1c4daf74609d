"""What the frameworks' tests share: a server for each test, which they stop and start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.redis_server import RedisServer


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A server that the test may pause."""
    with RedisServer() as server:
        yield server
