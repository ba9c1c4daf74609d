"""One Redis for all pages; each block has a database of it for itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.redis_server import RedisServer

DATABASES = 2_000


@pytest.fixture(scope="session")
def pages_server() -> Iterator[RedisServer]:
    """The server."""
    with RedisServer("--databases", str(DATABASES)) as server:
        yield server


@pytest.fixture(scope="session")
def _databases() -> Iterator[int]:
    return iter(count(0))


@pytest.fixture
def redis_url(pages_server: RedisServer, _databases: Iterator[int]) -> str:
    """Where nothing has been written yet."""
    return f"redis://{pages_server.address}/{next(_databases) % DATABASES}"
