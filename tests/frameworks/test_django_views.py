"""Cached views of Django in the process, and entries that end with changes of models."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.messages import INFO, get_messages
from django.contrib.messages.storage.base import Message
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.exceptions import BadRequest
from django.db import connection, connections, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.test import RequestFactory
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import get_language, override
from django.views import View

from tests.frameworks.django_configured import Likeness, Row, place
from tests.support.until import until
from tidegate import ConfigError
from tidegate.contrib.django import cached_view, invalidate_on_change, invalidate_on_commit, manager

__all__ = ["place"]  # a fixture

# --- views ---------------------------------------------------------------------------------------------------------


def ask(view: Any, path: str = "/", **given: Any) -> Any:
    request = RequestFactory().get(path)
    request.session = given.pop("session", None)
    request.user = given.pop("user", None)
    return view(request, **given)


class Session(dict[str, Any]):
    accessed = modified = False


def test_a_view_is_kept_by_what_its_template_names() -> None:
    runs: list[Any] = []

    @cached_view("page:of:{id}:{query.q}", ttl=60, public=True)
    def view(request: HttpRequest, id: int) -> JsonResponse:
        runs.append((id, request.GET.get("q")))
        return JsonResponse({"run": len(runs)})

    assert [ask(view, path, id=7).content for path in ("/", "/?q=1", "/?x=2", "/?q=1&x=3", "/?q=2&q=1")] == [
        b'{"run": 1}',
        b'{"run": 2}',
        b'{"run": 1}',
        b'{"run": 2}',
        b'{"run": 3}',
    ]
    assert view.invalidate(id=7, query={"q": "1"})
    assert [ask(view, path, id=7).content for path in ("/", "/?q=1")] == [b'{"run": 1}', b'{"run": 4}']
    with pytest.raises(ConfigError, match=r"argument 'other' of .* neither in the template"):
        ask(view, id=7, other=1)


def test_a_request_that_goes_past_the_cache_is_told_so() -> None:
    @cached_view("page:of:{id}", ttl=60)
    def view(request: HttpRequest, id: int) -> HttpResponse:
        return HttpResponse("page")

    request = RequestFactory().get("/", headers={"authorization": "Bearer x"})
    assert view(request, id=7).headers["Cache-Status"] == "tidegate; fwd=bypass; detail=authorization"
    assert "Cache-Status" not in view(RequestFactory().post("/"), id=7).headers


def test_what_is_one_visitor_s_is_not_kept() -> None:
    runs: list[str] = []

    def view(request: HttpRequest, kind: str) -> HttpResponse:
        runs.append(kind)
        response = HttpResponse("page")
        if kind == "cookie":
            response.set_cookie("a", "b")
        elif kind == "token":
            response.write(get_token(request))
        elif kind == "session":
            request.session.accessed = True
        return response

    cached = cached_view("page:of:{kind}", ttl=60, public=True)(view)
    for kind, said in [("cookie", "set-cookie"), ("token", "csrf-token"), ("session", "session"), ("other", None)]:
        runs.clear()
        _, second = (ask(cached, kind=kind, session=Session()) for _ in range(2))
        assert len(runs) == (1 if said is None else 2)
        assert second.headers["Cache-Status"] == (
            "tidegate; hit" if said is None else f"tidegate; fwd=miss; detail={said}"
        )
    mine = cached_view("mine:of:{user.pk}:{kind}", ttl=60, user="user.pk")(view)
    runs.clear()
    for name in (1, 2, 1):
        row = Row(pk=name)
        assert ask(mine, kind="session", session=Session(), user=row).headers["Cache-Control"] == "private, no-cache"
    assert runs == ["session"] * 2


def test_an_async_view_is_kept_too() -> None:
    runs: list[int] = []

    @cached_view("page:of:{id}", ttl=60)
    async def view(request: HttpRequest, id: int) -> HttpResponse:
        runs.append(id)
        await asyncio.sleep(0.01)
        return HttpResponse("page")

    async def main() -> list[Any]:
        return await asyncio.gather(*(ask(view, id=1) for _ in range(50)))

    assert {response.content for response in asyncio.run(main())} == {b"page"}
    assert runs == [1]

    @cached_view("mine:of:{user.pk}", ttl=60, user="user.pk")
    async def mine(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str((await request.auser()).pk))

    async def of(number: int) -> Any:
        async def auser() -> Row:
            return Row(pk=number)

        request = RequestFactory().get("/")
        request.auser = auser
        return await mine(request)

    assert [asyncio.run(of(number)).content for number in (1, 2, 1)] == [b"1", b"2", b"1"]


def test_a_message_is_shown_to_one_visitor_once() -> None:
    @cached_view("page:of:{id}", ttl=60, public=True)
    def view(request: HttpRequest, id: int) -> HttpResponse:
        return HttpResponse(" ".join(map(str, get_messages(request))) or "none")

    def asked(cookie: str | None) -> HttpResponse:
        request = RequestFactory().get("/")
        if cookie is not None:
            request.COOKIES["messages"] = cookie
        request.session = Session()
        request._messages = FallbackStorage(request)
        return view(request, id=7)

    left = RequestFactory().get("/")
    response = HttpResponse()
    CookieStorage(left)._store([Message(INFO, "your card ends in 42")], response)
    first = asked(response.cookies["messages"].value)
    assert first.content == b"your card ends in 42"
    assert first.headers["Cache-Status"] == "tidegate; fwd=miss; detail=messages"
    assert asked(None).content == b"none"


def test_a_page_in_another_language_or_time_zone_is_not_everybody_s() -> None:
    def view(request: HttpRequest, id: int) -> HttpResponse:
        return HttpResponse(f"{get_language()} {timezone.get_current_timezone_name()}")

    plain = cached_view("page:plain:{id}", ttl=60, public=True)(view)
    named = cached_view("page:named:{id}:{language}:{timezone}", ttl=60, public=True)(view)
    ignored = cached_view("page:ignored:{id}", ttl=60, public=True, ignore=("language", "timezone"))(view)
    own = settings.TIME_ZONE
    for language, zone, detail in [("en-us", own, None), ("de", own, "language"), ("en", "Asia/Tokyo", "timezone")]:
        with override(language), timezone.override(zone):
            for _ in range(2):
                reply = ask(plain, id=7)
                assert reply.content.decode() == f"{language} {zone}"
            assert reply.headers["Cache-Status"] == (
                "tidegate; hit" if detail is None else f"tidegate; fwd=bypass; detail={detail}"
            )
            assert [ask(named, id=7).content.decode() for _ in range(2)] == [f"{language} {zone}"] * 2
            assert ask(named, id=7).headers["Cache-Status"] == "tidegate; hit"
            assert ask(ignored, id=7).content.decode() == f"en-us {own}"
    assert named.invalidate(id=7, language="de", timezone=own)
    with override("de"):
        assert ask(named, id=7).headers["Cache-Status"] == "tidegate; fwd=miss"


def test_a_class_of_async_methods_is_an_async_view() -> None:
    runs: list[int] = []

    class Page(View):
        async def get(self, request: HttpRequest, id: int) -> HttpResponse:
            runs.append(id)
            return HttpResponse("page")

    view = cached_view("page:of:{id}", ttl=60)(Page.as_view())
    ways = [asyncio.run(ask(view, id=7)).headers["Cache-Status"] for _ in range(2)]
    assert (ways, runs) == (["tidegate; fwd=miss", "tidegate; hit"], [7])


def test_what_the_visitor_did_wrong_is_no_failure_of_the_view() -> None:
    fails = False

    @cached_view("page:of:{id}", ttl=0.05, stale_if_error="1h", public=True)
    def view(request: HttpRequest, id: int) -> HttpResponse:
        if fails:
            raise BadRequest("no such thing")
        return HttpResponse("page")

    assert ask(view, id=7).content == b"page"
    fails = True
    threading.Event().wait(0.1)
    with pytest.raises(BadRequest):
        ask(view, id=7)


# --- changes -------------------------------------------------------------------------------------------------------


def test_changes_end_entries_when_they_are_committed_and_not_before() -> None:
    invalidate_on_change(Row, keys=lambda row: [f"row:of:{row.pk}"], tags=lambda row: ["rows"])
    with connection.schema_editor() as editor:
        editor.create_model(Row)
    own = manager()

    def stand() -> tuple[bool, bool]:
        return own.exists("row:of:1"), own.exists("row:list")

    def fill() -> None:
        own.set("row:of:1", "page")
        own.set("row:list", "page", tags=["rows"])

    fill()
    with transaction.atomic():
        row = Row.objects.create(pk=1, name="Ada")
        assert stand() == (True, True), "not committed: a reader would store the old row anew"
    assert stand() == (False, False)
    fill()
    with transaction.atomic():
        row.name = "Grace"
        row.save()
        transaction.set_rollback(True)
    assert stand() == (True, True)
    with transaction.atomic():
        invalidate_on_commit("row:of:1", tags=["rows"])
        Row.objects.update(name="Grace")
    assert stand() == (False, False)
    fill()
    Likeness(pk=1, name="Ada").save()
    assert stand() == (False, False), "a proxy's row is the model's"
    fill()
    row.delete()
    assert stand() == (False, False)
    with pytest.raises(ConfigError, match="needs keys or tags"):
        invalidate_on_change(Row)
    with pytest.raises(ConfigError, match="invalidate_on_change"):
        invalidate_on_change(keys=lambda row: [])


def test_what_runs_behind_closes_its_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["default"], "NAME", str(tmp_path / "rows.db"))
    used: list[tuple[int, Any]] = []

    @cached_view("page:of:{id}", ttl=0.05, stale_while_revalidate="1h")
    def view(request: HttpRequest, id: int) -> HttpResponse:
        if threading.current_thread() is not threading.main_thread():
            with connections["default"].cursor() as cursor:
                cursor.execute("SELECT 1")
            used.append((threading.get_ident(), connections["default"].connection))
        return HttpResponse("page")

    def is_closed() -> bool:
        try:
            used[0][1].total_changes  # noqa: B018 - raises when it is closed
        except sqlite3.ProgrammingError as error:
            return "closed" in str(error)
        return False

    ask(view, id=1)
    until(lambda: ask(view, id=1).status_code == 200 and bool(used), 20, "nothing runs behind")
    until(is_closed, 20, "its connection is open")


def test_what_runs_behind_is_in_the_language_of_its_page() -> None:
    runs: list[str] = []

    @cached_view("page:of:{id}:{language}:{timezone}", ttl=0.05, stale_while_revalidate="1h", public=True)
    def view(request: HttpRequest, id: int) -> HttpResponse:
        runs.append(f"{get_language()} {timezone.get_current_timezone_name()}")
        return HttpResponse(runs[-1])

    with override("de"), timezone.override("Asia/Tokyo"):
        until(lambda: ask(view, id=1).status_code == 200 and len(runs) > 2, 20, "nothing runs behind")
        until(lambda: ask(view, id=1).status_code == 200 and len(runs) > 3, 20, "nothing runs behind")
    assert set(runs) == {"de Asia/Tokyo"}


def test_visitors_whom_the_key_does_not_tell_apart_may_differ_by_their_sessions() -> None:
    @cached_view("basket:page:{user.pk}", ttl=60, user="user.pk")
    def basket(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.session.get("basket", "empty"))

    @cached_view("basket:awaited:{user.pk}", ttl=60, user="user.pk")
    async def awaited(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.session.get("basket", "empty"))

    def visit(view: Any, what: str | None, **headers: str) -> Any:
        request = RequestFactory().get("/", headers=headers)
        stored = SessionStore()
        if what is not None:
            stored["basket"] = what
            stored.save()
        request.session = SessionStore(stored.session_key)

        def anybody() -> Row:
            # As Django's own middleware looks for the user.
            request.session.get("_auth_user_id")
            return Row()

        async def later() -> Row:
            return anybody()

        request.user, request.auser = SimpleLazyObject(anybody), later
        return asyncio.run(view(request)) if view is awaited else view(request)

    for view in (basket, awaited):
        kept = [visit(view, what).content for what in ("lamp", "sofa", None, "lamp", None)]
        assert kept == [b"lamp", b"sofa", b"empty", b"lamp", b"empty"]
        assert visit(view, None).headers["Cache-Status"] == "tidegate; hit"
        assert visit(view, "lamp").headers["Cache-Status"] == "tidegate; fwd=bypass; detail=session"
        told = visit(view, None, authorization="Bearer x").headers["Cache-Status"]
        assert told == "tidegate; fwd=bypass; detail=authorization"


def test_an_argument_of_the_name_user_is_the_url_s() -> None:
    @cached_view("profile:page:{user}", ttl=60, public=True)
    async def profile(request: HttpRequest, user: str) -> HttpResponse:
        return HttpResponse(user)

    def visit(user: str) -> Any:
        async def asked() -> Row:
            raise AssertionError("nobody needs to know who asks")

        request = RequestFactory().get("/")
        request.auser = asked
        return asyncio.run(profile(request, user=user))

    assert [visit(name).content for name in ("ada", "bob", "ada")] == [b"ada", b"bob", b"ada"]
    assert visit("bob").headers["Cache-Status"] == "tidegate; hit"
