"""A WSGI application whose manager is there, connected and used before gunicorn forks its workers (`--preload`).

It answers with {"pid": ..., "value": ..., "hit": ..., "connections": how many are new}.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from redis import Redis

from tidegate.sync import CacheManager

URL = os.environ["REDIS_URL"]
KEY = "fork:row:0"

# A new worker connects anew; where the machine is too busy to do that within 100 ms, it would compute by itself.
cache = CacheManager(URL, service="race", command_timeout=5)
assert cache.get(KEY, lambda: "of the parent") == "of the parent"


def connections() -> set[str]:
    """Those of tidegate's that the server knows."""
    with Redis.from_url(URL) as redis:
        return {client["id"] for client in redis.client_list() if client["name"].startswith("tidegate:")}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """One request."""
    number = environ["PATH_INFO"].strip("/")
    before = connections()
    value = cache.get(f"fork:request:{number}", lambda: number)
    told = {
        "pid": os.getpid(),
        "value": value,
        "hit": cache.get(KEY, lambda: "of the child"),
        "connections": len(connections() - before),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
