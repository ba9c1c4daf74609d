"""Fixtures: one redis-server, one process of each language, and for each test two fresh managers of one service."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.interop.pair import Members, Pair
from tests.support.redis_server import RedisServer

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def members() -> Iterator[Members]:
    members = Members()
    yield members
    members.end()


@pytest.fixture(params=["python-node", "node-python"])
def pair(request: pytest.FixtureRequest, members: Members, redis_server: RedisServer) -> Pair:
    """Python does something and Node meets it, and the other way round."""
    first, other = request.param.split("-")
    return Pair(members[first], members[other], redis_server.url, f"interop{next(_numbers)}")
