"""A proxy on loopback between managers and a redis-server, which does to connections what networks do.

    with Proxy(server.url) as proxy:
        proxy.delay(0.08)               # every answer takes so much longer
        proxy.lose_answers(0.05)        # now and then: a command has been run, nobody is told, the connection ends
        proxy.cut_answers(0.05)         # now and then: the connection ends in the middle of an answer
        proxy.swallow("answers")        # the connections of this moment are black holes, one way
        proxy.heal()                    # all of that is over for new connections

It knows a tidegate push connection by the name that it gives itself (`…:push`), so one can be black-holed while the
commands go on. `seen` counts what it did.
"""

from __future__ import annotations

import random
import selectors
import socket
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal
from urllib.parse import urlsplit

Direction = Literal["commands", "answers"]

IDLE_SECONDS = 0.02


@dataclass(eq=False)
class _Way:
    """One direction of a connection."""

    source: socket.socket
    target: socket.socket
    is_swallowed: bool = False
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)
    """What is delivered later, and when."""


@dataclass(eq=False)
class _Pair:
    commands: _Way
    answers: _Way
    heard: bytes = b""
    """What the client has sent first: its name is in it."""
    is_answered: bool = True
    """Nothing was sent since the last answer."""

    @property
    def is_push(self) -> bool:
        return b":push" in self.heard


class Proxy:
    """Forwards until told otherwise; what it is told holds when the call returns."""

    def __init__(self, url: str, *, seed: int = 1) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._selector = selectors.DefaultSelector()
        self._pairs: list[_Pair] = []
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen: Counter[str] = Counter()
        self.heal()

    @property
    def url(self) -> str:
        """What managers are given."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def heal(self) -> None:
        """From now on everything is forwarded at once; connections that are black holes stay so."""
        with self._lock:
            self._delay = self._jitter = self._lost_share = self._cut_share = 0.0

    def delay(self, seconds: float, *, jitter: float = 0.0) -> None:
        """Answers are delivered so much later, more or less by up to the jitter, in their order."""
        with self._lock:
            self._delay, self._jitter = seconds, jitter

    def lose_answers(self, share: float) -> None:
        """This share of what the server sends is not delivered: the connection ends, and its command has been run."""
        with self._lock:
            self._lost_share = share

    def cut_answers(self, share: float) -> None:
        """This share of what the server sends is delivered to its middle, and the connection ends."""
        with self._lock:
            self._cut_share = share

    def swallow(self, direction: Direction, *, only_pushes: bool = False) -> None:
        """Nothing passes any more, that way, on the connections of this moment; new ones are free."""
        with self._lock:
            for pair in self._pairs:
                way = pair.answers if direction == "answers" else pair.commands
                way.is_swallowed |= pair.is_push or not only_pushes

    def say_as_pushes(self, command: bytes) -> None:
        """Sends the server a command, as RESP, in the name of each push connection."""
        with self._lock:
            for pair in self._pairs:
                if pair.is_push:
                    pair.commands.target.sendall(command)

    def __enter__(self) -> Proxy:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        for pair in list(self._pairs):
            self._end(pair)
        self._listener.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._over.is_set():
            events = self._selector.select(self._patience())
            with self._lock:
                for key, _ in events:
                    if key.data is None:
                        self._accept()
                    elif key.data[0] in self._pairs:
                        self._take(*key.data)
                for pair in list(self._pairs):
                    self._deliver(pair)

    def _patience(self) -> float:
        dues = [way.waiting[0][0] for pair in self._pairs for way in (pair.commands, pair.answers) if way.waiting]
        return max(0.0, min([IDLE_SECONDS, *(due - time.monotonic() for due in dues)]))

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target, timeout=1)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = _Pair(_Way(client, server), _Way(server, client))
        self._pairs.append(pair)
        self.seen["connections"] += 1
        for way in (pair.commands, pair.answers):
            self._selector.register(way.source, selectors.EVENT_READ, (pair, way))

    def _take(self, pair: _Pair, way: _Way) -> None:
        """What one end has sent, to be delivered now or later, or never."""
        try:
            data = way.source.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self._end(pair)
        elif way.is_swallowed:
            self.seen["swallowed bytes"] += len(data)
        elif way is pair.commands:
            pair.heard += data[: max(0, 1024 - len(pair.heard))]
            if pair.is_answered and not pair.is_push:
                self.seen["round trips"] += 1
            pair.is_answered = False
            way.waiting.append((0.0, data))
        elif self._chance.random() < self._lost_share:
            self.seen["lost"] += 1
            self._end(pair)
        elif self._chance.random() < self._cut_share:
            self.seen["cut"] += 1
            with suppress(OSError):
                way.target.sendall(data[: len(data) // 2])
            self._end(pair)
        else:
            due = time.monotonic() + self._delay + self._chance.uniform(-self._jitter, self._jitter)
            way.waiting.append((max(due, way.waiting[-1][0] if way.waiting else 0.0), data))

    def _deliver(self, pair: _Pair) -> None:
        """What is due."""
        now = time.monotonic()
        for way in (pair.commands, pair.answers):
            while way.waiting and way.waiting[0][0] <= now:
                _, data = way.waiting.popleft()
                pair.is_answered |= way is pair.answers
                try:
                    way.target.sendall(data)
                except OSError:
                    self._end(pair)
                    return

    def _end(self, pair: _Pair) -> None:
        if pair in self._pairs:
            self._pairs.remove(pair)
            for way in (pair.commands, pair.answers):
                self._selector.unregister(way.source)
                way.source.close()
