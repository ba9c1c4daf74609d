"""The scenarios that every language plays, for the async manager (asyncio and uvloop) and the blocking one: on memory
and on a redis-server, and in the other places where managers may meet, once each.

Most of what they take is time that is waited out: each way to play one costs a minute.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.support.places import SERVICES, Place, denials, empty, forget_denials, open_place

from .scenario import Scenario
from .scenario_drivers import AsyncDriver, BlockingDriver, Driver

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parents[1] / "conformance"
DRIVERS: dict[str, Callable[[], Driver]] = {
    "asyncio": AsyncDriver,
    "uvloop": lambda: AsyncDriver(uvloop.new_event_loop),
    "blocking": BlockingDriver,
}

# The whole set where much is another (many nodes; the rights of `docs/production.md`, and TLS; Valkey), by one driver.
WHOLE = {"cluster": "asyncio", "tls-acl": "uvloop", "valkey": "asyncio"}
# What differs elsewhere is how connections are made: some scenarios of every kind.
SOME = {
    "unix": "asyncio",
    "sentinel": "asyncio",
    "sentinel-tls-acl": "blocking",
    "cluster-tls-acl": "uvloop",
    "valkey-cluster": "asyncio",
}
REPRESENTATIVE = {
    *("hit", "stampede", "late_fill", "stale_while_revalidate", "tags", "namespaces", "context_tags"),
    *("l1_changed_elsewhere", "l1_push_lost", "lease_runs_out"),
}
# These need a place of their own each, which takes its time where there are many processes and handshakes.
TOUCHING = {"store_hangs", "store_dies"}
QUICK = {"unix", "sentinel"}


def _scenarios() -> dict[str, dict[str, Any]]:
    return {path.stem: tomllib.loads(path.read_text()) for path in sorted(FOLDER.glob("*.toml"))}


def _touches_store(scenario: dict[str, Any]) -> bool:
    return any("store" in step for step in scenario["steps"])


def _cases() -> list[Any]:
    cases = []
    for name, scenario in _scenarios().items():
        stores = scenario.get("stores", ["memory", "redis"])
        # By uvloop the whole set meets a server by TLS.
        ways = [(store, driver) for store in stores for driver in DRIVERS if (store, driver) != ("redis", "uvloop")]
        if "redis" in stores:
            some = SOME if name in REPRESENTATIVE else QUICK if name in TOUCHING else set()
            ways += [*WHOLE.items(), *((place, SOME[place]) for place in SOME if place in some)]
        for store, driver in ways:
            cases.append(pytest.param(scenario, store, driver, id=f"{name}-{store}-{driver}"))
    return cases


class Places:
    """Places that are left running, each opened when it is first asked for."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._open: dict[str, Place] = {}

    def __getitem__(self, kind: str) -> Place:
        if kind not in self._open:
            self._open[kind] = self._stack.enter_context(open_place(kind))
        return self._open[kind]

    def close(self) -> None:
        """Ends them."""
        self._stack.close()


@pytest.fixture(scope="module")
def places() -> Iterator[Places]:
    """For all scenarios that leave their store alone."""
    those = Places()
    yield those
    those.close()


def test_there_are_scenarios() -> None:
    assert len(_cases()) > 50
    assert set(_scenarios()) >= REPRESENTATIVE | TOUCHING


@pytest.mark.parametrize(("scenario", "store", "driver"), _cases())
def test_scenario(scenario: dict[str, Any], store: str, driver: str, service: str, places: Places) -> None:
    new_driver = DRIVERS[driver]
    if new_driver is BlockingDriver:
        _skip_what_blocks(scenario)
    if store == "memory":
        Scenario(new_driver(), f"memory://{service}", service, scenario, None).play(scenario["steps"])
        return
    with ExitStack() as stack:
        place = stack.enter_context(open_place(store)) if _touches_store(scenario) else places[store]
        # An account has rights to the keys of one service.
        if has_account := store in SERVICES:
            service = SERVICES[store]
            empty(place)
            forget_denials(place)
        Scenario(new_driver(), place.url, service, scenario, place).play(scenario["steps"])
        if has_account:
            assert denials(place) == []


def _skip_what_blocks(scenario: dict[str, Any]) -> None:
    if any("cancel" in step for step in scenario["steps"]):
        pytest.skip("a call that blocks cannot be cancelled")
    options = [scenario.get("options", {}), *(step.get("with", {}) for step in scenario["steps"])]
    if any("hard_timeout" in some for some in options):
        pytest.skip("a thread inside its own fallback cannot be freed; test_blocking has what holds instead")
