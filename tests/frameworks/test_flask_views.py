"""The extension for Flask in the process: several applications, errors, tenants, what a view may look at."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, abort, g, request, session, url_for
from flask.views import MethodView

from tests.support.until import until
from tidegate import ConfigError
from tidegate.contrib.flask import Tidegate
from tidegate.sync import CacheManager
from tidegate.testing import FakeClock, MemoryStore


def app_of(tidegate: Tidegate, name: str) -> Flask:
    app = Flask(name)
    app.config.update(SECRET_KEY="of a test", TESTING=True)
    tidegate.init_app(app)
    return app


def test_each_application_has_a_manager_and_functions_follow() -> None:
    tidegate, runs = Tidegate(ttl="1h"), []

    @tidegate.cached("square:of:{number}")
    def square(number: int) -> int:
        runs.append(number)
        return number**2

    one, other = app_of(tidegate, "one"), app_of(tidegate, "other")
    for app in (one, other):
        with app.app_context():
            assert [square(3), square(3), square.get_cached(3)] == [9, 9, 9]
            assert square.key(3) == "square:of:3"
    assert runs == [3, 3]
    with one.app_context():
        assert square.invalidate(3)
        assert square.get_cached(3) is None
        assert square.refresh(3) == 9
    with other.app_context():
        assert square.get_cached(3) == 9
    with Flask("bare").app_context(), pytest.raises(ConfigError, match="bare has no manager"):
        square(3)
    assert tidegate.close(one)
    with one.app_context(), pytest.raises(RuntimeError, match="closed"):
        square(3)


def test_views_by_tenant_and_what_is_left_alone() -> None:
    tidegate, runs = Tidegate(), []
    app = app_of(tidegate, "site")

    @app.before_request
    def who() -> None:
        g.tenant = request.headers.get("X-Tenant", "nobody")

    @app.get("/page/<int:id>")
    @tidegate.cached_view("page:of:{id}:{query.tag}", ttl=60, public=True, tenant=lambda: g.tenant, statuses=(200, 404))
    def page(id: int) -> Any:
        runs.append(id)
        if id == 404:
            return {"no": id}, 404
        if id == 410:
            abort(410)
        return {"of": g.tenant}, 200, {"X-Own": "1"}

    @app.get("/stream")
    @tidegate.cached_view("page:of:stream", ttl=60)
    def stream() -> Response:
        def parts() -> Iterator[bytes]:
            yield from (b"a", b"b")

        return Response(parts())

    client = app.test_client()
    for name in ("acme", "other", "acme"):
        reply = client.get("/page/1", headers={"X-Tenant": name})
        assert (reply.json, reply.headers["X-Own"]) == ({"of": name}, "1")
    assert runs == [1, 1]
    with app.test_request_context("/", headers={"X-Tenant": "acme"}):
        g.tenant = "acme"
        assert page.invalidate(id=1)
    assert [client.get("/page/1", headers={"X-Tenant": name}).status_code for name in ("acme", "other")] == [200, 200]
    assert runs == [1, 1, 1]
    runs.clear()
    for path in ("/page/2?tag=a&tag=b", "/page/2?tag=b&tag=a", "/page/2?tag=a,b", "/page/2?tag=a&x=1&tag=b"):
        assert client.get(path).status_code == 200
    assert runs == [2, 2, 2]
    runs.clear()
    assert [client.get(f"/page/{id}").status_code for id in (404, 404, 410, 410)] == [404, 404, 410, 410]
    assert runs == [404, 410, 410], "404 is kept, since it was asked for; an error that is raised is not"
    assert [client.get("/stream").data for _ in range(2)] == [b"ab", b"ab"]


def test_mistakes_are_found_at_once() -> None:
    tidegate = Tidegate()

    def view(id: int, other: int) -> str:
        return ""

    async def awaited(id: int) -> str:
        return ""

    with pytest.raises(ConfigError, match=r"argument 'other' of .* neither in the template"):
        tidegate.cached_view("page:of:{id}", ttl=60)(view)
    assert tidegate.cached_view("page:of:{id}", ttl=60, ignore=("other",))(view)(id=1, other=2) == ""
    with pytest.raises(ConfigError, match="is async"):
        tidegate.cached_view("page:of:{id}", ttl=60)(awaited)
    with pytest.raises(ConfigError, match=r"user_of=lambda"):
        tidegate.cached_view("page:of:{user}", ttl=60, user="user")
    app = Flask("app")
    app.config["TIDEGATE_OPTIONS"] = "service=shop"
    with pytest.raises(ConfigError, match="TIDEGATE_OPTIONS"):
        tidegate.init_app(app)
    app.config.update(TIDEGATE_OPTIONS={"servise": "shop"})
    with pytest.raises(ConfigError, match="service"):
        tidegate.init_app(app)
    with pytest.raises(ConfigError, match=r"tidegate\.sync\.CacheManager"):
        tidegate.init_app(app, "redis://")  # type: ignore[arg-type]
    own = CacheManager()
    tidegate.init_app(app, own)
    with app.app_context():
        assert tidegate.manager is own


def test_a_request_that_goes_past_the_cache_is_told_so() -> None:
    tidegate = Tidegate()
    app = app_of(tidegate, "past")

    @app.get("/page/<int:id>")
    @tidegate.cached_view("page:of:{id}", ttl=60)
    def page(id: int) -> str:
        return "page"

    reply = app.test_client().get("/page/7", headers={"Authorization": "Bearer x"})
    assert (reply.text, reply.headers["Cache-Status"]) == ("page", "tidegate; fwd=bypass; detail=authorization")


def test_a_view_runs_behind_with_its_request() -> None:
    tidegate, runs = Tidegate(), []
    app = app_of(tidegate, "behind")

    @app.get("/page/<int:id>")
    @tidegate.cached_view("page:of:{id}:{query.q}", ttl=0.05, public=True, stale_while_revalidate="1h")
    def page(id: int) -> str:
        runs.append(threading.get_ident())
        return f"{request.args['q']} {request.path} {url_for('page', id=id)}"

    client = app.test_client()
    until(lambda: client.get("/page/7?q=a").text == "a /page/7 /page/7" and len(set(runs)) > 1, 20, "nothing behind")
    count = len(runs)
    until(lambda: client.get("/page/7?q=a").text == "a /page/7 /page/7" and len(runs) > count + 1, 20, "not again")
    with app.app_context():
        assert tidegate.manager.stats()["fallback_errors"] == 0


def test_what_the_manager_says_of_stale_pages_reaches_clients() -> None:
    tidegate = Tidegate(stale_while_revalidate="30s")
    app = app_of(tidegate, "stale")

    @app.get("/managers")
    @tidegate.cached_view("page:managers", ttl=60, max_age=10)
    def managers() -> str:
        return "as the manager says"

    @app.get("/own")
    @tidegate.cached_view("page:own", ttl=60, max_age=10, stale_while_revalidate=0)
    def own() -> str:
        return "as it says itself"

    client = app.test_client()
    for _ in range(2):
        assert client.get("/managers").headers["Cache-Control"] == "private, max-age=10, stale-while-revalidate=30"
        assert client.get("/own").headers["Cache-Control"] == "private, max-age=10"
    assert tidegate.close(app)


def test_what_a_view_wants_called_on_close_is_called_once_for_each_of_its_runs() -> None:
    tidegate, closed, threads = Tidegate(), list[str](), list[int]()
    app = app_of(tidegate, "closing")

    @app.get("/page/<name>")
    @tidegate.cached_view("page:of:{name}", ttl=0.05, public=True, statuses=(200,), stale_while_revalidate="1h")
    def page(name: str) -> Response:
        threads.append(threading.get_ident())
        response = Response(name, status=404 if name == "none" else 200)
        response.call_on_close(lambda: closed.append(name))
        return response

    client = app.test_client()
    for name in ("kept", "none"):
        with client.get(f"/page/{name}") as reply:
            assert (reply.data, closed) == (name.encode(), []), "it is not called before its answer has gone"
        assert closed == [name]
        closed.clear()
    # What it does behind is for nobody.
    until(lambda: client.get("/page/kept").text == "kept" and len(set(threads)) > 1, 20, "nothing behind")
    until(lambda: len(closed) == len(threads) - 2, 20, f"called {len(closed)} times for {len(threads) - 2} runs")
    assert tidegate.close(app)


def test_visitors_whom_the_key_does_not_tell_apart_may_differ_by_their_sessions() -> None:
    tidegate = Tidegate()
    app = app_of(tidegate, "site")

    @app.get("/fill/<what>")
    def fill(what: str) -> str:
        session["basket"] = what
        return "filled"

    @app.get("/basket")
    @tidegate.cached_view("basket:page:{user}", ttl=60, user="user", user_of=lambda: session.get("user"))
    def basket() -> str:
        return str(session.get("basket", "empty"))

    @app.get("/late")
    @tidegate.cached_view("basket:late:{user}", ttl=60, user="user", user_of=lambda: None)
    def late() -> str:
        return str(session.get("basket", "empty"))

    ada, bob, new, newer = (app.test_client() for _ in range(4))
    ada.get("/fill/lamp")
    bob.get("/fill/sofa")
    for path in ("/late", "/basket"):
        assert [each.get(path).text for each in (ada, bob, new, ada, newer)] == [
            "lamp",
            "sofa",
            "empty",
            "lamp",
            "empty",
        ]
    assert ada.get("/basket").headers["Cache-Status"] == "tidegate; fwd=bypass; detail=session"
    assert newer.get("/basket").headers["Cache-Status"] == "tidegate; hit"
    assert newer.get("/late").headers["Cache-Status"] == "tidegate; fwd=miss; detail=session"


def test_who_names_himself_and_is_nobody_to_the_key_goes_past_the_cache() -> None:
    tidegate = Tidegate()
    app = app_of(tidegate, "site")

    @app.get("/")
    @tidegate.cached_view("own:page:{user}", ttl=60, user="user", user_of=lambda: "")
    def own() -> str:
        return request.headers.get("Authorization", "nobody")

    client = app.test_client()
    for name in ("ada", "bob"):
        reply = client.get("/", headers={"Authorization": name})
        assert (reply.text, reply.headers["Cache-Status"]) == (name, "tidegate; fwd=bypass; detail=authorization")


def test_the_arguments_of_a_class_s_view_are_looked_at_too() -> None:
    tidegate = Tidegate()
    app = app_of(tidegate, "site")

    class Item(MethodView):
        def get(self, id: int) -> str:
            return f"item {id}"

    for name in ("{id}", "all"):
        view = tidegate.cached_view(f"item:page:{name}", ttl=60)(Item.as_view(name))
        app.add_url_rule(f"/{name[:1]}/<int:id>", view_func=view)
    client = app.test_client()
    assert [client.get(f"/{{/{id}").text for id in (1, 2, 1)] == ["item 1", "item 2", "item 1"]
    with pytest.raises(ConfigError, match=r"argument 'id' of .* neither in the template"):
        client.get("/a/1")


def test_a_response_that_is_raised_is_an_answer_by_its_own_status() -> None:
    clock, tidegate = FakeClock(), Tidegate()
    app = Flask("site")
    app.config.update(TESTING=True)
    tidegate.init_app(app, CacheManager(store=MemoryStore(clock), ttl_jitter=0))
    status = 200

    @app.get("/")
    @tidegate.cached_view("out:page:all", ttl=10, stale_if_error="1h")
    def page() -> str:
        if status != 200:
            abort(Response("of its own", status))
        return "page"

    client = app.test_client()
    assert client.get("/").text == "page"
    clock.advance(20)
    status = 403
    assert (client.get("/").status_code, client.get("/").text) == (403, "of its own")
    status = 503
    assert client.get("/").text == "page", "a failure, for which the old page stands"
