"""For `INSTALLED_APPS`: `manage.py check` looks at each cache whose backend is tidegate's."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from ..._errors import TidegateError


class TidegateConfig(AppConfig):
    """`tidegate.contrib.django`."""

    name = "tidegate.contrib.django"
    label = "tidegate"
    verbose_name = "tidegate"

    def ready(self) -> None:
        """Registers the check."""
        register(check_caches, Tags.caches)


def check_caches(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Errors for what no manager can be made of, a warning for a cache that each process would have for itself."""
    from django.conf import settings
    from django.core.cache import caches

    found: list[CheckMessage] = []
    for alias in caches:
        if not settings.CACHES[alias].get("BACKEND", "").startswith("tidegate."):
            continue
        try:
            place = caches[alias]._place
            place.blocking()
        except TidegateError as error:
            found.append(Error(f"CACHES[{alias!r}]: {error}", id="tidegate.E001"))
            continue
        if place.url.startswith("memory://") and not settings.DEBUG:
            found.append(
                Warning(
                    f"CACHES[{alias!r}] is in memory: each process has its own, and hears of no other's changes",
                    hint='LOCATION="redis://…"',
                    id="tidegate.W001",
                )
            )
    return found
