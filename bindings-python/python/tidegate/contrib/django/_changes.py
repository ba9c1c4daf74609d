"""Invalidation by what changes in the database: when the transaction has been committed, and not before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.db import transaction
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save

from ..._errors import ConfigError
from ._managers import Place


def manager(alias: str = "default") -> Any:
    """The blocking manager behind `CACHES[alias]`, for whatever Django's API has no word for.

    Its keys are apart from Django's: `manager().cached("poll:results:{poll_id}", ttl=60)`.
    """
    return _place(alias).blocking()


def async_manager(alias: str = "default") -> Any:
    """The manager for asyncio behind `CACHES[alias]`."""
    return _place(alias).asynchronous()


def invalidate_on_commit(
    *keys: str, tags: Iterable[str] = (), alias: str = "default", using: str | None = None
) -> None:
    """Invalidate when the transaction has been committed; at once where there is none, not at all where it is undone.

    For what sends no signals: `QuerySet.update`, `bulk_create`, raw SQL. Before the commit it would be too soon: a
    reader would store the old row anew. Between commit and invalidation lies a moment; the row and its entry move
    together with `write_through` only.
    """
    names = list(tags)

    def invalidate() -> None:
        found = manager(alias)
        if keys:
            found.invalidate(*keys)
        if names:
            found.invalidate_tag(*names)

    transaction.on_commit(invalidate, using=using)


def invalidate_on_change(
    *models: type[Model],
    keys: Callable[[Any], Iterable[str]] | None = None,
    tags: Callable[[Any], Iterable[str]] | None = None,
    alias: str = "default",
) -> None:
    """Invalidate what `keys(instance)` and `tags(instance)` give whenever a row of these models is saved or deleted.

    To be called in an `AppConfig.ready`. Many-to-many changes count as changes of the instance that they are made on.
    """
    if not models or not all(isinstance(model, type) and issubclass(model, Model) for model in models):
        raise ConfigError(f"invalidate_on_change got {models!r}; a right example: invalidate_on_change(Poll, keys=…)")
    if keys is None and tags is None:
        raise ConfigError(
            "invalidate_on_change needs keys or tags; a right example: keys=lambda poll: [page.key(poll.pk)]"
        )

    def changed(sender: Any, instance: Any, using: str | None = None, action: str = "post_", **_: Any) -> None:
        if isinstance(instance, models) and action.startswith("post_"):
            found = list(keys(instance)) if keys is not None else []
            invalidate_on_commit(*found, tags=tags(instance) if tags is not None else (), alias=alias, using=using)

    every = dict.fromkeys(kin for each in models for kin in _with_kin(each))
    for model in every:
        # Kept by the signal: nobody else holds it.
        post_save.connect(changed, sender=model, weak=False)
        post_delete.connect(changed, sender=model, weak=False)
        for field in model._meta.many_to_many:
            m2m_changed.connect(changed, sender=field.remote_field.through, weak=False)


def _with_kin(model: type[Model]) -> list[type[Model]]:
    """A model, its proxies and its children: a signal names the class that was saved, and no other."""
    return [model, *(each for child in model.__subclasses__() for each in _with_kin(child))]


def _place(alias: str) -> Place:
    from django.core.cache import caches

    backend = caches[alias]
    place = getattr(backend, "_place", None)
    if not isinstance(place, Place):
        raise ConfigError(
            f"CACHES[{alias!r}] is a {type(backend).__qualname__}; "
            'a right example: {"BACKEND": "tidegate.contrib.django.TidegateCache", …}'
        )
    return place
