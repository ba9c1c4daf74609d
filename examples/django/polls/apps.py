"""Where changes of models are told to the cache."""

from __future__ import annotations

from django.apps import AppConfig


class PollsConfig(AppConfig):
    """The app."""

    name = "examples.django.polls"
    label = "polls"

    def ready(self) -> None:
        """A question or choice that is saved or deleted ends its page, and the list, when it has been committed."""
        from tidegate.contrib.django import invalidate_on_change

        from . import models, views

        invalidate_on_change(
            models.Question, keys=lambda question: [views.results.key(poll_id=question.pk)], tags=lambda _: ["polls"]
        )
        invalidate_on_change(
            models.Choice, keys=lambda choice: [views.results.key(poll_id=choice.question_id)], tags=lambda _: ["polls"]
        )
