"""The places where managers may meet, by name: one face for a lone server, a Sentinel's group and a Cluster.

    with open_place("cluster") as place:
        cache = CacheManager(place.url, **place.options, service="billing")

`pause`, `kill` and the like reach whatever holds keys: the server, the master, all nodes of the Cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

from redis import Redis

from tests.support.acl import SERVICE, Access, data_access, sentinel_access
from tests.support.certificates import Certificates
from tests.support.cluster import RedisCluster
from tests.support.redis_server import RedisServer, valkey_binary
from tests.support.sentinel import RedisSentinel

# Nobody is to be voted out of office by a test that only stops servers for a while.
CALM_MS = 30_000


class Place(Protocol):
    """Where managers meet."""

    @property
    def url(self) -> str:
        """What managers are given."""

    @property
    def options(self) -> dict[str, Any]:
        """What they need besides."""

    def clients(self) -> AbstractContextManager[list[Redis]]:
        """A client of the tests' own for each server that holds keys."""

    def client_of(self, key: str) -> AbstractContextManager[Redis]:
        """A client of the server that holds `key`."""

    def pause(self) -> None:
        """SIGSTOP to what holds keys."""

    def resume(self) -> None:
        """SIGCONT."""

    def kill(self) -> None:
        """SIGKILL."""

    def start(self) -> None:
        """After a `kill`: there again, and empty."""


Make = Callable[[ExitStack], Place]


def _tls(stack: ExitStack) -> Certificates:
    return stack.enter_context(Certificates())


KINDS: dict[str, Make] = {
    "redis": lambda stack: stack.enter_context(RedisServer()),
    "unix": lambda stack: stack.enter_context(RedisServer(unix_socket=True)),
    "tls": lambda stack: stack.enter_context(RedisServer(tls=_tls(stack))),
    "acl": lambda stack: stack.enter_context(RedisServer(access=data_access())),
    "tls-acl": lambda stack: stack.enter_context(RedisServer(tls=_tls(stack), access=data_access())),
    "sentinel": lambda stack: stack.enter_context(RedisSentinel(down_after_ms=CALM_MS)),
    "sentinel-tls-acl": lambda stack: stack.enter_context(
        RedisSentinel(down_after_ms=CALM_MS, tls=_tls(stack), access=data_access(), sentinel_access=sentinel_access())
    ),
    "cluster": lambda stack: stack.enter_context(RedisCluster(node_timeout_ms=CALM_MS)),
    "cluster-tls-acl": lambda stack: stack.enter_context(
        RedisCluster(node_timeout_ms=CALM_MS, tls=_tls(stack), access=data_access())
    ),
    "valkey": lambda stack: stack.enter_context(RedisServer(binary=valkey_binary())),
    "valkey-cluster": lambda stack: stack.enter_context(RedisCluster(node_timeout_ms=CALM_MS, binary=valkey_binary())),
}

SERVICES = {kind: SERVICE for kind in KINDS if kind.endswith("acl")}
"""Where an account has rights to one service's keys only: that service."""


@contextmanager
def open_place(kind: str) -> Iterator[Place]:
    """A place of that kind, gone when the block is left."""
    with ExitStack() as stack:
        yield KINDS[kind](stack)


def empty(place: Place) -> None:
    """Remove every key."""
    with place.clients() as clients:
        for client in clients:
            client.flushall()


def denials(place: Place) -> list[str]:
    """What the accounts of a place have been refused since `forget_denials`: ACL LOG."""
    with place.clients() as clients:
        entries = [entry for client in clients for entry in client.acl_log()]
    return [f"{entry['username']}: {entry['reason']} {entry['object']} ({entry['context']})" for entry in entries]


def forget_denials(place: Place) -> None:
    """ACL LOG RESET."""
    with place.clients() as clients:
        for client in clients:
            client.acl_log_reset()


__all__ = ["KINDS", "SERVICES", "Access", "Place", "denials", "empty", "forget_denials", "open_place"]
