"""The two processes of a test, one of each language."""

from __future__ import annotations

import time
from typing import Any

import redis

from tests.interop.member_process import PATIENCE_SECONDS, MemberProcess

HEAD_BYTES = 72
PLACES = {"codec": 4, "compression": 5}
FLAGS = 3
SIGNED = 4


class Members:
    """A process of each language; one that has ended is replaced."""

    def __init__(self) -> None:
        self._processes: dict[str, MemberProcess] = {}

    def __getitem__(self, language: str) -> MemberProcess:
        member = self._processes.get(language)
        if member is not None and not member.is_running:
            member.kill()  # lets go of its pipes
            member = None
        if member is None:
            member = self._processes[language] = MemberProcess(language)
        return member

    def end(self) -> None:
        """End both, as a process ends that has nothing more to do."""
        for language in list(self._processes):
            self[language].end()


class Pair:
    """The two members of a test: one that does something first, and the other, in the other language."""

    def __init__(self, first: MemberProcess, other: MemberProcess, url: str, service: str) -> None:
        self.first = first
        self.other = other
        self._url = url
        self._service = service

    def open(self, **options: Any) -> tuple[MemberProcess, MemberProcess]:
        """Both, with a manager each. The machine may be busy: a late answer of the store is not what is tested."""
        return self.open_with(options, options)

    def open_with(self, first: dict[str, Any], other: dict[str, Any]) -> tuple[MemberProcess, MemberProcess]:
        """Both, each with options of its own."""
        for member, options in ((self.first, first), (self.other, other)):
            member.open(self._url, service=self._service, **{"command_timeout": "5s", **options})
        return self.first, self.other

    def open_versions(
        self, first: dict[str, Any] | None = None, other: dict[str, Any] | None = None
    ) -> tuple[MemberProcess, MemberProcess]:
        """The first of version 1, the other of version 2, which adds 100 to what it takes over."""
        return self.open_with({**(first or {}), "version": 1}, {**(other or {}), "version": 2, "upgrade": [1]})

    def bytes_of(self, key: str) -> bytes:
        """The entry as it stands in the store."""
        with redis.Redis.from_url(self._url) as client:
            entry = client.get(self._name(key))
        assert isinstance(entry, bytes), f"no entry of {key}"
        return entry

    def patch(self, key: str, at: int, byte: int) -> bytes:
        """Put another byte into the entry; the whole of it then."""
        entry = bytearray(self.bytes_of(key))
        entry[at] = byte
        with redis.Redis.from_url(self._url) as client:
            client.set(self._name(key), bytes(entry), keepttl=True)
        return bytes(entry)

    def check_head(self, key: str, signed: int | None = None, **bytes_at: int) -> None:
        """Look at what stands at these places of the entry's header, and at the flag of signatures."""
        head = self.bytes_of(key)[:HEAD_BYTES]
        seen = {name: head[PLACES[name]] for name in bytes_at}
        assert seen == bytes_at, f"{key}: {head.hex()}"
        assert signed is None or head[FLAGS] & SIGNED == signed, f"{key}: {head.hex()}"

    def _name(self, key: str) -> str:
        return f"{self._service}:v1:{key}"

    def until_others_wait(self, key: str) -> None:
        """Wait until some process listens for the end of this key's fill."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.others_wait(key):
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.005)

    def others_wait(self, key: str) -> bool:
        """Whether some process listens for the end of this key's fill."""
        channel = f"{{{self._name(key)}}}:wake"
        with redis.Redis.from_url(self._url) as client:
            return any(count > 0 for _, count in client.pubsub_shardnumsub(channel))
