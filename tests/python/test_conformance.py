"""The scenarios that every language plays, for the async manager (asyncio and uvloop) and the blocking one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.support.redis_server import RedisServer

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


def _cases() -> list[Any]:
    cases = []
    for path in sorted(FOLDER.glob("*.toml")):
        scenario = tomllib.loads(path.read_text())
        for store in scenario.get("stores", ["memory", "redis"]):
            for driver in DRIVERS:
                cases.append(pytest.param(scenario, store, driver, id=f"{path.stem}-{store}-{driver}"))
    return cases


def test_there_are_scenarios() -> None:
    assert len(_cases()) > 50


@pytest.mark.parametrize(("scenario", "store", "driver"), _cases())
def test_scenario(
    scenario: dict[str, Any], store: str, driver: str, service: str, request: pytest.FixtureRequest
) -> None:
    play(scenario, store, DRIVERS[driver], service, request)


def play(
    scenario: dict[str, Any],
    store: str,
    new_driver: Callable[[], Driver],
    service: str,
    request: pytest.FixtureRequest,
) -> None:
    server: RedisServer | None = None
    url = f"memory://{service}"
    if store == "redis":
        touches_store = any("store" in step or "push" in step for step in scenario["steps"])
        server = request.getfixturevalue("own_server" if touches_store else "redis_server")
        url = server.url
    if new_driver is BlockingDriver:
        if any("cancel" in step for step in scenario["steps"]):
            pytest.skip("a call that blocks cannot be cancelled")
        options = [scenario.get("options", {}), *(step.get("with", {}) for step in scenario["steps"])]
        if any("hard_timeout" in some for some in options):
            pytest.skip("a thread inside its own fallback cannot be freed; test_blocking has what holds instead")
    Scenario(new_driver(), url, service, scenario, server).play(scenario["steps"])
