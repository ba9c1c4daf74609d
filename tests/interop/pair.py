"""The two processes of a test, one of each language."""

from __future__ import annotations

from typing import Any

import redis

from tests.interop.member_process import MemberProcess


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
        for member in (self.first, self.other):
            member.open(self._url, service=self._service, command_timeout="5s", **options)
        return self.first, self.other

    def open_versions(self) -> tuple[MemberProcess, MemberProcess]:
        """The first of version 1, the other of version 2, which adds 100 to what it takes over."""
        options = {"service": self._service, "command_timeout": "5s"}
        self.first.open(self._url, **options, version=1)
        self.other.open(self._url, **options, version=2, upgrade=[1])
        return self.first, self.other

    def others_wait(self, key: str) -> bool:
        """Whether some process listens for the end of this key's fill."""
        channel = f"{{{self._service}:v1:{key}}}:wake"
        with redis.Redis.from_url(self._url) as client:
            return any(count > 0 for _, count in client.pubsub_shardnumsub(channel))
