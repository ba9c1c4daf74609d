"""Accounts of a redis-server: those of `docs/production.md`, word for word, and one of the tests' own.

The page is the source: what it recommends is what the tests run under (`tests/python/test_places.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

PAGE = Path(__file__).parents[2] / "docs" / "production.md"
SERVICE = "billing"
"""The service that the page's lines are for."""


@dataclass(frozen=True)
class Account:
    """A name and a password."""

    name: str
    password: str

    @property
    def in_url(self) -> str:
        """What stands before a URL's `@`."""
        return f"{quote(self.name, safe='')}:{quote(self.password, safe='')}"


ADMIN = Account("admin", "of the tests' own")


@dataclass(frozen=True)
class Access:
    """Who may do what on a server: lines of an ACL file, `user NAME RULE…`."""

    user: Account
    """Whom managers come as."""
    lines: tuple[str, ...]
    replication: Account | None = None
    """Whom replicas come to their primary as."""
    admin: Account = ADMIN

    def server_options(self) -> list[str]:
        """As arguments of redis-server's command line."""
        options = ["--user", self.admin.name, "on", "#" + _sha256(self.admin.password), "~*", "&*", "+@all"]
        for line in self.lines:
            word, *rules = line.split()
            assert word == "user", line
            options += ["--user", *rules]
        if self.replication:
            options += ["--masteruser", self.replication.name, "--masterauth", self.replication.password]
        return options

    def account(self, name: str) -> Account:
        """The account of that name, by the password of its line."""
        return _account(self.lines, name)


def _sha256(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


def _account(lines: Iterable[str], name: str) -> Account:
    for line in lines:
        if found := re.match(rf"user {re.escape(name)} on >(\S+) ", line):
            return Account(name, found[1])
    raise LookupError(f"no line of the page makes the account {name!r}")


def page_lines(heading: str) -> tuple[str, ...]:
    """The ACL lines of the first block behind this heading of the page."""
    text = PAGE.read_text()
    block = re.search(rf"^#+ {re.escape(heading)}$.*?^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert block, f"{PAGE.name} has no block behind {heading!r}"
    return tuple(line for line in block[1].splitlines() if line.startswith("user "))


def data_access() -> Access:
    """Of a server that holds keys, standalone, of a Cluster or behind Sentinel, as the page has it."""
    lines = page_lines("Data nodes")
    return Access(_account(lines, SERVICE), lines, replication=_account(lines, "replica"))


def sentinel_access() -> Access:
    """Of a Sentinel, as the page has it."""
    lines = page_lines("Sentinels")
    return Access(_account(lines, SERVICE), lines)
