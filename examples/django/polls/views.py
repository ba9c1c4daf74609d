"""Pages that are cached, a vote that ends one, and what Django itself keeps in a cache."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from django.core.cache import cache
from django.db import transaction
from django.db.models import F
from django.http import Http404, HttpRequest, JsonResponse
from django.views.decorators.cache import cache_page
from django.views.decorators.http import require_POST

from tidegate.contrib.django import cached_view, invalidate_on_commit, manager

from .models import Choice, Question

DELAY = float(os.environ.get("POLLS_DELAY", "0"))
QUERY_LOG = os.environ.get("POLLS_QUERY_LOG")


def _slowly() -> None:
    """A query on a bad day; with a log of queries, for whoever counts them."""
    if QUERY_LOG:
        with open(QUERY_LOG, "a") as log:
            log.write("query\n")
    time.sleep(DELAY)


@cached_view("poll:results:{poll_id}", ttl="5m", public=True)
def results(request: HttpRequest, poll_id: int) -> JsonResponse:
    """One poll."""
    _slowly()
    try:
        question = Question.objects.get(pk=poll_id)
    except Question.DoesNotExist:
        raise Http404 from None
    choices = [
        {"id": choice.pk, "text": choice.text, "votes": choice.votes} for choice in question.choices.order_by("pk")
    ]
    return JsonResponse({"text": question.text, "choices": choices})


@cached_view("poll:list:{query.limit}", ttl="5m", tags=["polls"], public=True, max_age="10s")
def polls(request: HttpRequest) -> JsonResponse:
    """All of them; however many ask at once, the query runs once."""
    _slowly()
    limit = int(request.GET.get("limit", 100))
    return JsonResponse({"polls": list(Question.objects.order_by("pk").values("id", "text")[:limit])})


@require_POST
def vote(request: HttpRequest, poll_id: int) -> JsonResponse:
    """`update` sends no signal: what it changes is said here, and done when the transaction has been committed."""
    data = json.loads(request.body)
    with transaction.atomic():
        invalidate_on_commit(results.key(poll_id=poll_id))
        changed = Choice.objects.filter(pk=data["choice"], question=poll_id).update(votes=F("votes") + 1)
        if data.get("undo"):
            transaction.set_rollback(True)
    return JsonResponse({"changed": changed})


@require_POST
def rename(request: HttpRequest, poll_id: int) -> JsonResponse:
    """`save` sends a signal."""
    question = Question.objects.get(pk=poll_id)
    question.text = json.loads(request.body)["text"]
    question.save()
    return JsonResponse({"text": question.text})


async def top(request: HttpRequest, name: str) -> JsonResponse:
    """Django's own API, async: one of all who ask computes."""

    async def compute() -> dict[str, Any]:
        await cache.aadd(f"computed-{name}", 0, None)
        await cache.aincr(f"computed-{name}")
        found = await Choice.objects.order_by("-votes", "pk").values("text", "votes").afirst()
        return found or {}

    found = await cache.aget_or_set(f"top-{name}", compute, 60)
    return JsonResponse({"top": found, "computed": await cache.aget(f"computed-{name}")})


def visits(request: HttpRequest) -> JsonResponse:
    """Sessions in the cache."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"]})


@cache_page(60)
def clock(request: HttpRequest) -> JsonResponse:
    """Django's own decorator: it keeps responses, which come back as responses without a pickle."""
    return JsonResponse({"ns": time.time_ns()})


def count(request: HttpRequest) -> JsonResponse:
    """`incr` of many callers at once loses none."""
    cache.add("count", 0, None)
    return JsonResponse({"count": cache.incr("count")})


def health(request: HttpRequest) -> JsonResponse:
    """For a probe."""
    return JsonResponse({"cache": manager().health().status})
