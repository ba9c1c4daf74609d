"""A shop to look at: a Redis, two services with `/metrics` (`api` in Python, `web` in Node) and a Prometheus.

    with Shop() as shop:
        shop.tell("api", reads=2)
        shop.prometheus.query(...)

Nothing is read before Prometheus has seen both services, so that it has seen all that they count.
"""

from __future__ import annotations

import re
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.child import Child, child, commands
from tests.support.fleet import ROOT
from tests.support.prometheus import Prometheus
from tests.support.redis_server import RedisServer
from tests.support.until import until

RULES = ROOT / "docs" / "observability" / "prometheus"
SERVICE = "shop"
ROLES = {"api": "Python", "web": "Node"}
FOR_SECONDS = 2
# It holds a queue.
SERVER = ("--appendonly", "yes", "--appendfsync", "no", "--maxmemory", "256mb", "--maxmemory-policy", "volatile-lru")
SEEN_SECONDS = 30.0


class Shop:
    """All of it; a context manager."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._services: dict[str, Child] = {}
        self.targets: dict[str, str] = {}

    def __enter__(self) -> Shop:
        with ExitStack() as stack:
            self.redis = stack.enter_context(RedisServer(*SERVER))
            for role, language in ROLES.items():
                command = (*commands("tests/observability", "service")[language], self.redis.url, role)
                self._services[role] = stack.enter_context(child(*command))
            for role, service in self._services.items():
                self.targets[role] = f"127.0.0.1:{service.hear()['port']}"
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-rules-")))
            rules = [impatient(rule, folder) for rule in sorted(RULES.glob("*.yml"), reverse=True)]
            self.prometheus = stack.enter_context(Prometheus(targets=list(self.targets.values()), rules=rules))
            seen = f'count(tidegate_requests_total{{outcome="miss"}}) == {len(ROLES)}'
            until(lambda: bool(self.prometheus.query(seen)), SEEN_SECONDS, "prometheus has not seen both services")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def tell(self, role: str, **settings: float) -> dict[str, Any]:
        """New settings to a service; its `stats()`."""
        return self._services[role].ask(**settings)

    def metrics(self, role: str) -> str:
        """What its `/metrics` says now."""
        with urllib.request.urlopen(f"http://{self.targets[role]}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def corrupt(self) -> int:
        """Overwrites what is cached by something that no entry is; how many entries."""
        with self.redis.client() as client:
            names = [
                name for name in client.scan_iter(f"{SERVICE}:v1:item:*", count=1000) if client.type(name) == b"string"
            ]
            for name in names:
                client.set(name, b"not an entry", keepttl=True)
            return len(names)


def impatient(rule: Path, folder: Path) -> Path:
    """The same rules, with alerts that wait for two seconds only."""
    copy = folder / rule.name
    copy.write_text(re.sub(r"\bfor: \d+m$", f"for: {FOR_SECONDS}s", rule.read_text(), flags=re.MULTILINE))
    return copy
