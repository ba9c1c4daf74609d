"""HTTP caching, as the frameworks here share it: what may be kept, under which key, and what is answered.

The words are those of RFC 9110 (HTTP Semantics: ETag, If-None-Match, 304), RFC 9111 (HTTP Caching: Age, Cache-Control,
Vary, what a shared cache may store), RFC 5861 (stale-while-revalidate) and RFC 9211 (Cache-Status).
"""

from __future__ import annotations

import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import msgspec

from .. import _tidegate
from .._errors import ConfigError
from .._parsing import parse_tag_template, parse_template
from ._parts import fill, reach

if TYPE_CHECKING:
    from .._types import Duration

Headers: TypeAlias = "list[tuple[str, str]]"

# RFC 9110, section 7.6.1, and what is made anew for each answer.
_UNKEPT = frozenset(
    {
        "age",
        "cache-status",
        "connection",
        "content-length",
        "date",
        "etag",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# RFC 9110, section 15.4.5, and what tells of the cache.
_IN_304 = frozenset({"age", "cache-control", "cache-status", "content-location", "date", "etag", "expires", "vary"})
# Of which several lines add up.
_LISTS = frozenset({"set-cookie", "vary"})
_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
# Two texts of these that differ in case or space only are one (RFC 9110, section 12.5); of others, perhaps two people.
_CASELESS = frozenset({"accept", "accept-charset", "accept-encoding", "accept-language"})
_FIELD_NAME = re.compile(r"[\w!#$%&'+.^`|~-]+", re.ASCII)
_OWN = ("ignore", "max_age", "obey_client", "public", "statuses", "user", "vary")
_STATUS_MIN, _STATUS_MAX = 200, 599
_NO_CONTENT = 204


class Page(msgspec.Struct, frozen=True):
    """A response as it is kept. Times are seconds, `made_at` since the epoch."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    etag: str
    made_at: float
    ttl: float
    stale: float = 0
    """How long past its ttl it is served while it is made anew."""


class Sent(Protocol):
    """The headers of a request, by names in any case."""

    def get(self, name: str, /) -> str | None:
        """One of them."""


class Answer(NamedTuple):
    """What a framework makes a response of."""

    status: int
    headers: Headers
    body: bytes


def beside(theirs: Headers, given: Headers) -> Headers:
    """Those of `theirs` that go with `given`: what both name is `given`'s, but for what several lines add up to."""
    names = {name.lower() for name, _ in given}
    return [(name, value) for name, value in theirs if name.lower() not in names or name.lower() in _LISTS]


class Policy:
    """What a cached page goes by; the arguments are those of the decorators, refused with `ConfigError`."""

    def __init__(
        self,
        template: str,
        *,
        ttl: Duration,
        public: bool,
        user: str | None,
        max_age: Duration,
        vary: Iterable[str],
        statuses: Iterable[int],
        obey_client: bool,
        options: dict[str, Any],
    ) -> None:
        self.template = parse_template(template)
        self.ttl = _tidegate.duration_ms("ttl", ttl) / 1_000
        self.max_age = _tidegate.duration_ms("max_age", max_age) / 1_000
        self.public, self.user, self.obey_client = public, user, obey_client
        self.vary = _names("vary", vary, ("Accept-Language",))
        self.told: list[str] = []
        """Request headers that places of the template are read from: part of the key, and named in Vary too."""
        for name in self.vary:
            if not _FIELD_NAME.fullmatch(name):
                raise ConfigError(f"vary has {name!r}, which is no header's name; a right example: 'Accept-Language'")
        self.statuses = _statuses(statuses)
        self.tags = [parse_tag_template(tag) for tag in _names("tags", options.pop("tags", ()), ("user:{user_id}",))]
        for name in ("codec", "type", "default"):
            if name in options:
                raise ConfigError(f"{name} is not an option of a cached page: what is kept is the response itself")
        for name in options:
            if name not in _tidegate.READ_OPTIONS:
                raise _tidegate.unknown_option(name, sorted({*_tidegate.READ_OPTIONS, *_OWN} - {"codec"}))
        if "stale_while_revalidate" in options:
            _tidegate.duration_ms("stale_while_revalidate", options["stale_while_revalidate"])
        self.options: dict[str, Any] = {**options, "ttl": self.ttl, "codec": "msgpack"}
        if public and user is not None:
            raise ConfigError(f"public=True and user={user!r} do not go together: one answer is not everybody's")
        places = {place.name for place in self.template.places}
        if user is not None and user.partition(".")[0] not in places:
            raise ConfigError(
                f"user={user!r} stands nowhere in the template {template!r}: two users would share an answer; "
                f'a right example: "{template}:{{{user}}}"'
            )

    # --- the request -----------------------------------------------------------------------------------------------

    def bypass(self, method: str, headers: Sent) -> str | None:
        """Why this request goes past the cache; None where it does not."""
        if method not in ("GET", "HEAD"):
            return "method"
        if not self.public and self.user is None and sent(headers, "authorization"):
            # RFC 9111, section 3.5: an answer to somebody in particular is not everybody's.
            return "authorization"
        if self.obey_client and "no-store" in directives(sent(headers, "cache-control")):
            return "no-store"
        return None

    def wants_new(self, headers: Sent) -> bool:
        """Whether the client may have it computed now, and says so."""
        if not self.obey_client:
            return False
        said = directives(sent(headers, "cache-control"))
        return "no-cache" in said or said.get("max-age") == "0"

    def key(self, arguments: Mapping[str, Any], headers: Sent) -> str:
        """The key of this request's page."""
        base = self.base(arguments)
        if not self.vary:
            return base
        said = "\n".join(_part_of_key(name, sent(headers, name)) for name in map(str.lower, self.vary))
        # No argument makes a segment that begins with a comma: none can be the variant of another route's page.
        return f"{base}:,{_digest(said.encode('utf-8', 'surrogateescape'))}"

    def base(self, arguments: Mapping[str, Any]) -> str:
        """The key without what varies by headers."""
        return fill(self.template, arguments)

    def call_options(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What the manager's `get` is given."""
        tags = [fill(tag, arguments) for tag in self.tags]
        if self.vary:
            tags.append(variants_tag(self.base(arguments)))
        return {**self.options, "tags": tags} if tags else self.options

    def names_user(self, arguments: Mapping[str, Any]) -> bool:
        """Whether the place of `user` says whose answer it is: None, or an empty text, is any visitor."""
        return self.user is not None and reach(arguments, self.user) not in (None, "")

    # --- the response ----------------------------------------------------------------------------------------------

    def page(
        self, status: int, headers: Headers, body: bytes, stale: float = 0, *, has_user: bool = True
    ) -> Page | str:
        """What is kept of a response; a text says why nothing is. `stale` is for how long it is served past its ttl.

        `has_user`: with `user`, whether this request's place of it says somebody.
        """
        is_of_one = self.user is not None and has_user
        said: dict[str, str] = {}
        for name, value in headers:
            # Several lines are one list (RFC 9110, section 5.3).
            before = said.get(name.lower())
            said[name.lower()] = value if before is None else f"{before}, {value}"
        if status not in self.statuses:
            return "status"
        if "set-cookie" in said:
            # RFC 9111, section 7.3: somebody else would be given the cookie.
            return "set-cookie"
        control = directives(said.get("cache-control"))
        if not control.keys().isdisjoint(("no-store", "no-cache")) or ("private" in control and not is_of_one):
            return "cache-control"
        if _is_zero(control.get("s-maxage", control.get("max-age"))):
            # Stale at once (RFC 9111, section 4.2).
            return "cache-control"
        varies = {name.strip().lower() for name in said.get("vary", "").split(",") if name.strip()}
        known = {name.lower() for name in (*self.vary, *self.told)}
        if is_of_one:
            known |= {"authorization", "cookie"}
        if "content-encoding" not in said:
            known.add("accept-encoding")
        if varies - known:
            return "vary"
        unkept = _UNKEPT | {name.strip().lower() for name in said.get("connection", "").split(",")}
        kept = [(name, value) for name, value in headers if name.lower() not in unkept]
        etag = said.get("etag") or etag_of(status, said.get("content-type", ""), body)
        return Page(status, kept, body, etag, time.time(), self.ttl, stale)

    def answer(self, page: Page, headers: Sent, cache_status: str, theirs: Headers | None = None) -> Answer:
        """The response to this request: 304 without a body where the client has it already.

        `theirs` are headers of this client's answer, which are no part of the page; the page's own go before them.
        """
        age = max(0.0, time.time() - page.made_at)
        theirs = beside(theirs or [], page.headers)
        given = {name.lower() for name, _ in (*page.headers, *theirs)}
        out: Headers = [(name, value) for name, value in page.headers if name.lower() != "vary"]
        varies = _merged([value for name, value in page.headers if name.lower() == "vary"], self._varies())
        out.append(("ETag", page.etag))
        if "cache-control" not in given:
            is_for_one = "set-cookie" in given
            said = "private, no-cache" if is_for_one else self.cache_control(age, page)
            out.append(("Cache-Control", said))
        out.append(("Age", str(int(age))))
        if varies:
            out.append(("Vary", varies))
        out.append(("Cache-Status", f"tidegate; {cache_status}"))
        is_match = 200 <= page.status < 300 and matches(sent(headers, "if-none-match"), page.etag)
        if is_match:
            lean = [(name, value) for name, value in out if name.lower() in _IN_304]
            return Answer(304, [*lean, *theirs], b"")
        if page.status != _NO_CONTENT:
            out.append(("Content-Length", str(len(page.body))))
        return Answer(page.status, [*out, *theirs], page.body)

    def _varies(self) -> list[str]:
        # Who uses a page without asking has to know when it is another's: a browser in which two log in after another.
        who = ("Authorization", "Cookie") if self.user is not None and self.max_age else ()
        return [*self.vary, *self.told, *who]

    def cache_control(self, age: float, page: Page) -> str:
        """For clients, who hear of no invalidation: by default they ask each time, and are mostly answered 304."""
        whose = "public" if self.public else "private"
        if not self.max_age:
            return f"{whose}, no-cache"
        # Counted from when it was made, as Age is: what is left is `max_age`, or what the entry has left.
        left = min(self.max_age, max(0.0, page.ttl - age))
        said = f"{whose}, max-age={int(age) + int(left)}"
        return f"{said}, stale-while-revalidate={int(page.stale)}" if page.stale else said


def etag_of(status: int, content_type: str, body: bytes) -> str:
    """Weak: what compresses the body behind us changes its bytes, and not what they say (RFC 9110, section 8.8.3)."""
    return f'W/"{_digest(f"{status} {content_type} ".encode() + body)}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has it, by the weak comparison (RFC 9110, sections 8.8.3.2 and 13.1.2).

    >>> matches('"other", W/"v1"', '"v1"'), matches("*", '"v1"'), matches('"v2"', '"v1"'), matches(None, '"v1"')
    (True, True, False, False)
    """
    if not if_none_match:
        return False
    return if_none_match.strip() == "*" or etag.removeprefix("W/") in _TAG.findall(if_none_match)


def directives(header: str | None) -> dict[str, str]:
    """The directives of a Cache-Control header, with their arguments.

    >>> directives('max-age=0, No-Cache, private="set-cookie"')
    {'max-age': '0', 'no-cache': '', 'private': 'set-cookie'}
    """
    found: dict[str, str] = {}
    for name, quoted, plain in re.findall(r'([\w-]+)(?:=(?:"([^"]*)"|([^\s,]*)))?', header or ""):
        found[name.lower()] = quoted or plain
    return found


def variants_tag(base: str) -> str:
    """What ends every variant of a page; hashed, since a tag may not be as long as a key."""
    return f"page:{_digest(base.encode())}"


def check_manager(kind: type[Any], given: object, example: str) -> None:
    """Refuses what is no manager of this kind."""
    if not isinstance(given, kind):
        whole = f"{kind.__module__.partition('._')[0]}.CacheManager"
        raise ConfigError(f"{given!r} is no {whole}; a right example: {example}")


def sent(headers: Sent, name: str) -> str | None:
    """All lines of a header that the client sent: Starlette's `get` gives the first."""
    lines = headers.getlist(name) if hasattr(headers, "getlist") else None
    return headers.get(name) if lines is None else ", ".join(lines) if lines else None


def _part_of_key(name: str, said: str | None) -> str:
    """A request without a header is not one with an empty one (RFC 9111, section 4.1)."""
    if said is None:
        return "-"
    return "=" + ("".join(said.lower().split()) if name in _CASELESS else said.strip())


def _is_zero(seconds: str | None) -> bool:
    return seconds is not None and seconds.strip("0") == "" and seconds != ""


def _digest(data: bytes) -> str:
    return urlsafe_b64encode(blake2b(data, digest_size=15).digest()).decode()


def _names(option: str, given: Any, example: tuple[str, ...]) -> list[str]:
    if isinstance(given, str) or not isinstance(given, Iterable) or not all(isinstance(each, str) for each in given):
        raise ConfigError(f"{option}={given!r} is no list of texts; a right example: {option}={example!r}")
    return list(given)


def _statuses(given: Iterable[int]) -> frozenset[int]:
    found = frozenset(given) if isinstance(given, Iterable) else frozenset({-1})
    if not found or not all(isinstance(one, int) and _STATUS_MIN <= one <= _STATUS_MAX for one in found):
        raise ConfigError(f"statuses={given!r} is no list of statuses from 200 to 599; a right example: (200, 404)")
    if 206 in found or 304 in found:
        raise ConfigError("statuses has 206 or 304: such an answer is a part of one, and is not kept")
    return found


def _merged(values: list[str], more: Iterable[str]) -> str:
    names: dict[str, str] = {}
    for name in [*(part.strip() for value in values for part in value.split(",")), *more]:
        if name:
            names.setdefault(name.lower(), name)
    return ", ".join(names.values())
