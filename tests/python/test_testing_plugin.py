"""pytest's fixtures, in projects of their own: with pytest-asyncio, with anyio, with neither, and unused."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SERVICE = """
    import pytest

    async def name_of(cache, id):
        async def fetch():
            return "Ada"
        return await cache.get(f"user:name:{id}", fetch)
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project of its own, whose pytest finds the installed package's entry point."""
    pytester.makepyfile(service=SERVICE)
    return pytester


def _passed(project: pytest.Pytester, *arguments: str) -> int:
    result = project.runpytest_subprocess("-q", "-W", "error", *arguments)
    outcomes = result.parseoutcomes()
    assert result.ret == 0, result.stdout.str()
    return outcomes["passed"]


def test_the_entry_point_is_installed() -> None:
    assert [point.value for point in entry_points(group="pytest11", name="tidegate")] == ["tidegate_pytest"]


ASYNC_TESTS = """
    import pytest
    from service import name_of

    {mark}

    @pytest.fixture
    def tidegate_options():
        return {{"service": "billing", "ttl": "1m"}}

    async def test_time(tidegate_cache, tidegate_clock, tidegate_events):
        assert await name_of(tidegate_cache, 42) == "Ada"
        tidegate_clock.advance("1m")
        assert await tidegate_cache.get("user:name:42", default=None) is None
        await tidegate_events.settled()
        assert tidegate_events.one("cache.set").service == "billing"

    async def test_faults(tidegate_cache, tidegate_store):
        for fault in ("down", "hang", "lost-reply"):
            with tidegate_store.failing(fault):
                assert await name_of(tidegate_cache, 42) == "Ada"

    async def test_alone(tidegate_cache):
        assert not await tidegate_cache.exists("user:name:42")
"""


def test_with_pytest_asyncio(project: pytest.Pytester) -> None:
    project.makepyfile(test_it=ASYNC_TESTS.format(mark=""))
    project.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    assert _passed(project) == 3


def test_with_anyio(project: pytest.Pytester) -> None:
    pytest.importorskip("anyio")
    mark = "pytestmark = pytest.mark.anyio\n\n    @pytest.fixture\n    def anyio_backend():\n        return 'asyncio'\n"
    project.makepyfile(test_it=ASYNC_TESTS.format(mark=mark))
    assert _passed(project, "-p", "no:asyncio") == 3


def test_without_either(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="""
        import asyncio
        from service import name_of

        def test_blocking(tidegate_sync_cache, tidegate_store, tidegate_clock, tidegate_events):
            with tidegate_store.failing("hang"):
                assert tidegate_sync_cache.get("user:name:42", lambda: "Ada") == "Ada"
            tidegate_clock.advance(1)
            assert tidegate_sync_cache.get("user:name:42", lambda: "Grace") == "Grace"
            assert tidegate_events.settle().of("cache.set", key="user:name:42")

        def test_both(tidegate_sync_cache, tidegate_cache, tidegate_events):
            assert asyncio.run(name_of(tidegate_cache, 42)) == "Ada"
            assert tidegate_sync_cache.get("user:name:42", default=None) == "Ada"
            assert [event.type for event in tidegate_events.settle().of(key="user:name:42")][-1] == "cache.hit"
        """
    )
    assert _passed(project, "-p", "no:asyncio", "-p", "no:anyio") == 2


def test_the_fixtures_of_the_page(project: pytest.Pytester) -> None:
    page = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()
    [block] = re.findall(r"```python\n(import pytest\n.*?)```", page, re.DOTALL)
    project.makepyfile(test_it=block)
    project.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    assert _passed(project) == 2


def test_unused_it_imports_nothing(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="""
        import sys

        def test_nothing():
            assert "tidegate_pytest" in sys.modules
            assert not [name for name in sys.modules if name.split(".")[0] in ("tidegate", "msgspec")]
        """
    )
    assert _passed(project, "-p", "no:asyncio", "-p", "no:anyio", "-p", "no:xdist") == 1


def test_it_costs_what_an_empty_module_costs() -> None:
    script = "import sys, pytest; seen = {*sys.modules}; import tidegate_pytest; print(sorted({*sys.modules} - seen))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['tidegate_pytest']"
