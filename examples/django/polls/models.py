"""Questions, and what may be answered."""

from __future__ import annotations

from django.db import models


class Question(models.Model):
    """A poll."""

    text = models.CharField(max_length=200)


class Choice(models.Model):
    """One of its answers."""

    question = models.ForeignKey(Question, on_delete=models.CASCADE, related_name="choices")
    text = models.CharField(max_length=200)
    votes = models.IntegerField(default=0)
