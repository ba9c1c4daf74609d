"""Django's own tests of cache backends, run over ours: prints the outcome of each as JSON.

    python -m tests.frameworks.django_suite FOLDER URL

FOLDER holds `cache`, as Django's source distribution has it in `tests`.
"""

from __future__ import annotations

import json
import sys
import unittest
from typing import Any

import django
from django.conf import settings

BACKEND = "tidegate.contrib.django.TidegateCache"


class Outcomes(unittest.TestResult):
    """What became of each test; a subtest's failure is its test's."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, str] = {}

    def startTest(self, test: unittest.TestCase) -> None:
        """Passed, until something else is heard."""
        super().startTest(test)
        self.of[_name(test)] = "passed"

    def addError(self, test: Any, error: Any) -> None:
        """It raised."""
        self._tell(test, error)

    def addFailure(self, test: Any, error: Any) -> None:
        """It asserted."""
        self._tell(test, error)

    def addSubTest(self, test: unittest.TestCase, subtest: Any, error: Any) -> None:
        """A part of it did."""
        if error is not None:
            self._tell(test, error)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        """It does not apply, by its own word."""
        self.of[_name(test)] = f"skipped: {reason}"

    def _tell(self, test: unittest.TestCase, error: Any) -> None:
        self.of[_name(test)] = f"{error[0].__name__}: {error[1]}"


def _name(test: unittest.TestCase) -> str:
    return test.id().rpartition(".")[2]


def main(folder: str, url: str) -> None:
    """All of `BaseCacheTests`."""
    sys.path.insert(0, folder)
    options = {"service": "suite", "command_timeout": "5s"}
    settings.configure(
        ALLOWED_HOSTS=["*"],
        CACHES={"default": {"BACKEND": BACKEND, "LOCATION": url, "OPTIONS": options}},
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        INSTALLED_APPS=["cache"],
        SECRET_KEY="of a test",
        USE_TZ=False,
    )
    django.setup()
    from cache import tests  # type: ignore[import-not-found]
    from django.test import TestCase, override_settings
    from django.test.utils import setup_databases, setup_test_environment

    # Nothing is culled here; Django's tests of it skip themselves where these caches are missing.
    caches = tests.caches_setting_for_tests(
        base={"BACKEND": BACKEND, "LOCATION": url}, exclude={"cull", "zero_cull"}, OPTIONS=options
    )
    ours = override_settings(CACHES=caches)(type("OurCacheTests", (tests.BaseCacheTests, TestCase), {}))
    setup_test_environment()
    setup_databases(verbosity=0, interactive=False)
    outcomes = Outcomes()
    unittest.defaultTestLoader.loadTestsFromTestCase(ours).run(outcomes)
    print(json.dumps(outcomes.of))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
