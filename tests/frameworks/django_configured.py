"""Django in a test's own process: settings, a table, and a cache of its own in memory for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import django
import pytest
from django.conf import settings
from django.db import models
from django.test.utils import override_settings
from django.utils.functional import empty

from tidegate.contrib.django import close

# Other tests share the process, and may have settings of their own: these count in tests that ask for `place`.
_others = settings._wrapped
settings._wrapped = empty
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["testserver"],
    LOGGING_CONFIG=None,
    USE_TZ=True,
)
django.setup()
_ours = settings._wrapped

BACKEND = "tidegate.contrib.django.TidegateCache"
_numbers = itertools.count(1)


class Row(models.Model):
    """A table of the tests."""

    name = models.CharField(max_length=20)

    class Meta:
        """Of no app."""

        app_label = "frameworks"


class Likeness(Row):
    """The same table."""

    class Meta:
        """Of no app."""

        app_label = "frameworks"
        proxy = True


settings._wrapped = _others


@pytest.fixture(autouse=True)
def place() -> Iterator[None]:
    """For a test module to import."""
    before, settings._wrapped = settings._wrapped, _ours
    of = {"BACKEND": BACKEND, "LOCATION": "memory://", "OPTIONS": {"service": f"test{next(_numbers)}"}}
    with override_settings(CACHES={"default": of, "other": {**of, "KEY_PREFIX": "a:b"}, "v2": {**of, "VERSION": 2}}):
        yield
    close()
    settings._wrapped = before
