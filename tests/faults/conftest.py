"""What each row has measured stands in the run's output, from whichever worker."""

from __future__ import annotations

import pytest

from tests.faults.test_faults import MEASURED


class _Told:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        for name, text in report.user_properties:
            if name == MEASURED and report.when == "call" and terminal is not None:
                terminal.write(f"\n{text}\n")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Reports come here from all workers."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Told(config))
