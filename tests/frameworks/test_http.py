"""What is kept of responses, under which keys, and what is said to clients: the helper that the frameworks share."""

from __future__ import annotations

import time
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from starlette.datastructures import Headers

from tidegate import ConfigError, KeyFormatError
from tidegate._parsing import parse_template
from tidegate.contrib._http import Page, Policy, directives, etag_of, matches
from tidegate.contrib._parts import fill


class Color(Enum):
    RED = "red"


def policy(template: str = "user:page:{id}", **given: Any) -> Policy:
    """One, with what decorators have by default."""
    own: dict[str, Any] = {
        "ttl": 60,
        "public": False,
        "user": None,
        "max_age": 0,
        "vary": (),
        "statuses": (200,),
        "obey_client": False,
        "options": {},
    }
    return Policy(template, **{**own, **given})


def key(value: object) -> str:
    return fill(parse_template("page:of:{it}"), {"it": value})


def test_no_two_arguments_share_a_key() -> None:
    values: list[Any] = [None, "", "-", "--", "-,", ",", "a,b", "a:b", "%2D", "%2D%2D", "None", "é", " ", "a", "ab"]
    values += [[], [None, ""], ["", ""], ["a", "b"], ["a,b", ""], ["-,", ""], ["a", "b", ""], ["a,", "b"]]
    keys = [key(value) for value in values]
    assert len(set(keys)) == len(keys)


def test_arguments_are_parts_of_a_key() -> None:
    assert key(7) == "page:of:7"
    assert key(True) == "page:of:true"
    assert key(UUID(int=1)) == "page:of:00000000-0000-0000-0000-000000000001"
    assert key(1.5) == "page:of:1.5"
    assert key(Decimal("1.50")) == "page:of:1.50"
    assert key(date(2030, 1, 2)) == "page:of:2030-01-02"
    assert key(Color.RED) == "page:of:red"
    assert key(["a", "b"]) == "page:of:a,b"
    with pytest.raises(KeyFormatError, match=r"\{it\.id\}"):
        key(object())
    with pytest.raises(ConfigError, match="has no 'name'"):
        fill(parse_template("page:of:{it.name}"), {"it": 7})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"public": True, "user": "id"}, "one answer is not everybody's"),
        ({"user": "user.id"}, "stands nowhere in the template"),
        ({"vary": "Accept"}, r"vary='Accept' is no list"),
        ({"vary": ("*",)}, r"vary has '\*'"),
        ({"statuses": (100,)}, "from 200 to 599"),
        ({"statuses": (206,)}, "206 or 304"),
        ({"ttl": "soon"}, "ttl"),
        ({"max_age": -1}, "max_age"),
        ({"options": {"codec": "json"}}, "codec is not an option"),
        ({"options": {"stale_if_eror": 5}}, "stale_if_error"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        policy(**given)


@pytest.mark.parametrize(
    ("headers", "given", "reason"),
    [
        ([("Set-Cookie", "a=b")], {}, "set-cookie"),
        ([("Cache-Control", "no-store")], {}, "cache-control"),
        ([("Cache-Control", "max-age=5, private")], {}, "cache-control"),
        ([("Vary", "*")], {}, "vary"),
        ([("Vary", "Accept-Language")], {}, "vary"),
        ([("Vary", "Cookie")], {"public": True}, "vary"),
        ([("Vary", "Accept-Encoding"), ("Content-Encoding", "gzip")], {}, "vary"),
        # Several lines are one list, whichever comes last.
        ([("Vary", "Cookie"), ("vary", "Accept-Encoding")], {}, "vary"),
        ([("Cache-Control", "private"), ("cache-control", "max-age=5")], {}, "cache-control"),
        # What is stale at once, or wants to be asked for each time, answers nobody else.
        ([("Cache-Control", "no-cache")], {}, "cache-control"),
        ([("Cache-Control", "max-age=0")], {}, "cache-control"),
        ([("Cache-Control", "max-age=60, s-maxage=0")], {}, "cache-control"),
    ],
)
def test_what_is_not_everybody_s_is_not_kept(
    headers: list[tuple[str, str]], given: dict[str, Any], reason: str
) -> None:
    assert policy(**given).page(200, headers, b"{}") == reason


@pytest.mark.parametrize(
    ("headers", "given"),
    [
        ([("Cache-Control", "max-age=5, private")], {"user": "id"}),
        ([("Vary", "Cookie, Authorization")], {"user": "id"}),
        ([("Vary", "accept-language")], {"vary": ("Accept-Language",)}),
        ([("Vary", "Accept-Encoding")], {}),
        ([("Cache-Control", "max-age=0, s-maxage=60")], {}),
    ],
)
def test_what_the_key_tells_apart_is_kept(headers: list[tuple[str, str]], given: dict[str, Any]) -> None:
    assert isinstance(policy(**given).page(200, headers, b"{}"), Page)


def test_statuses_are_kept_where_asked_for() -> None:
    assert policy().page(404, [], b"") == "status"
    assert isinstance(policy(statuses=(200, 404)).page(404, [], b""), Page)


def test_requests_that_go_past_the_cache() -> None:
    assert policy().bypass("POST", {}) == "method"
    assert policy().bypass("GET", {"authorization": "Bearer x"}) == "authorization"
    assert policy(user="id").bypass("GET", {"authorization": "Bearer x"}) is None
    assert policy(public=True).bypass("HEAD", {"authorization": "Bearer x"}) is None
    asks = {"cache-control": "no-store"}
    assert policy().bypass("GET", asks) is None
    assert policy(obey_client=True).bypass("GET", asks) == "no-store"
    assert not policy().wants_new({"cache-control": "no-cache"})
    assert policy(obey_client=True).wants_new({"cache-control": "no-cache"})
    assert policy(obey_client=True).wants_new({"cache-control": "max-age=0"})
    assert not policy(obey_client=True).wants_new({"cache-control": "max-age=60"})


def answered(given: dict[str, Any], age: float, stale: float = 0) -> dict[str, str]:
    headers = [("Content-Type", "text/plain"), ("X-Own", "1")]
    page = Page(200, headers, b"body", '"v1"', time.time() - age, 60, stale)
    return dict(policy(**given).answer(page, {}, "hit").headers)


def test_what_clients_are_told_of_time() -> None:
    assert answered({}, 5)["Cache-Control"] == "private, no-cache"
    assert answered({"public": True}, 5)["Cache-Control"] == "public, no-cache"
    # Counted from when it was made: 5 s ago, and 10 s more.
    said = answered({"public": True, "max_age": 10}, 5.5)
    assert (said["Cache-Control"], said["Age"]) == ("public, max-age=15", "5")
    # Never longer than the entry itself.
    assert answered({"max_age": "1h"}, 50.5)["Cache-Control"] == "private, max-age=59"
    stale = answered({"max_age": 10}, 70.5, stale=30)
    assert (stale["Cache-Control"], stale["Age"]) == ("private, max-age=70, stale-while-revalidate=30", "70")
    # A clock that is behind makes no page of the future.
    assert answered({}, -500)["Age"] == "0"


def test_a_304_has_no_body_and_none_of_its_headers() -> None:
    page = Page(200, [("Content-Type", "text/plain"), ("Vary", "Origin")], b"body", 'W/"v1"', time.time(), 60)
    one = policy(vary=("Accept-Language", "origin"))
    answer = one.answer(page, {"if-none-match": '"v0", "v1"'}, "hit")
    assert (answer.status, answer.body) == (304, b"")
    headers = dict(answer.headers)
    assert set(headers) == {"ETag", "Cache-Control", "Age", "Vary", "Cache-Status"}
    assert headers["Vary"] == "Origin, Accept-Language"
    missing = Page(404, [], b"no", 'W/"v1"', time.time(), 60)
    assert one.answer(missing, {"if-none-match": "*"}, "hit").status == 404, "only what is well is not modified"


def test_tags_of_bodies_and_their_comparison() -> None:
    tag = etag_of(200, "text/plain", b"body")
    assert tag.startswith('W/"')
    assert tag == etag_of(200, "text/plain", b"body")
    assert len({tag, etag_of(200, "text/html", b"body"), etag_of(200, "text/plain", b"other")}) == 3
    assert matches(f'{tag}, W/"x"', tag)
    assert matches(tag.removeprefix("W/"), tag)
    assert matches("  *  ", tag)
    assert not matches('W/"x"', tag)
    assert not matches(tag.strip('W/"'), tag), "a tag has its quotes"
    assert directives('private="a, b", max-age=5') == {"private": "a, b", "max-age": "5"}


def test_variants_by_headers_have_keys_of_their_own() -> None:
    one = policy(vary=("Accept-Language",))
    german, english = ({"accept-language": each} for each in ("de", "en"))
    assert one.key({"id": 7}, german) != one.key({"id": 7}, english)
    assert one.key({"id": 7}, {"accept-language": " DE "}) == one.key({"id": 7}, german), (
        "a language is one in any case"
    )
    assert one.key({"id": 7}, {}) != one.key({"id": 7}, {"accept-language": ""})
    tags = one.call_options({"id": 7})["tags"]
    assert tags == one.call_options({"id": 7})["tags"] != one.call_options({"id": 8})["tags"]


def test_a_header_that_tells_people_apart_does_so_by_each_letter() -> None:
    one = policy(vary=("X-User",))
    assert len({one.key({"id": 7}, {"x-user": name}) for name in ("bob", "Bob", "b ob", "b  ob")}) == 4


def test_all_lines_of_a_header_count() -> None:
    one = policy(vary=("Accept-Language",))
    twice, once = (Headers(raw=[(b"accept-language", each) for each in lines]) for lines in ([b"de", b"fr"], [b"de"]))
    assert one.key({"id": 7}, twice) != one.key({"id": 7}, once)
    asks = Headers(raw=[(b"cache-control", b"max-age=60"), (b"cache-control", b"no-store")])
    assert policy(obey_client=True).bypass("GET", asks) == "no-store"
    page = Page(200, [], b"body", '"v1"', time.time(), 60)
    has = Headers(raw=[(b"if-none-match", b'"v0"'), (b"if-none-match", b'"v1"')])
    assert policy().answer(page, has, "hit").status == 304


def test_no_argument_makes_the_key_of_another_page_s_variant() -> None:
    variant = policy(vary=("Accept-Language",)).key({"id": 7}, {"accept-language": "de"})
    end = variant.removeprefix("user:page:7:")
    longer = parse_template("user:page:{id}:{section}")
    for section in (end, end.removeprefix(","), ["", end], [end]):
        assert fill(longer, {"id": 7, "section": section}) != variant


def test_what_a_connection_names_is_not_kept() -> None:
    page = policy().page(200, [("Connection", "X-Hop, close"), ("X-Hop", "1"), ("X-Own", "2")], b"")
    assert isinstance(page, Page)
    assert page.headers == [("X-Own", "2")]


def test_a_client_s_own_headers_are_his_and_a_cookie_is_nobody_else_s() -> None:
    page = Page(200, [("X-Own", "page")], b"body", '"v1"', time.time(), 60)
    one = policy(public=True, max_age=60)
    theirs = [("x-own", "client"), ("set-cookie", "a=b"), ("set-cookie", "c=d")]
    for asks, status in (({}, 200), ({"if-none-match": "*"}, 304)):
        answer = one.answer(page, asks, "hit", theirs)
        assert answer.status == status
        assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=b", "c=d"]
        assert ("Cache-Control", "private, no-cache") in answer.headers
        assert ("x-own", "client") not in answer.headers
    said = one.answer(page, {}, "hit", [("cache-control", "no-store")]).headers
    assert [value for name, value in said if name.lower() == "cache-control"] == ["no-store"]
