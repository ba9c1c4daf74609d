"""A proxy on loopback between managers and a redis-server, which can swallow what a server sends.

It knows a tidegate push connection by the name that it gives itself (`…:push`), so one can be black-holed while the
commands go on.
"""

from __future__ import annotations

import selectors
import socket
import threading
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlsplit


@dataclass(eq=False)
class _Pair:
    client: socket.socket
    server: socket.socket
    heard: bytes = b""
    """What the client has sent first: its name is in it."""
    is_swallowed: bool = False
    others: dict[socket.socket, socket.socket] = field(init=False)

    def __post_init__(self) -> None:
        self.others = {self.client: self.server, self.server: self.client}

    @property
    def is_push(self) -> bool:
        return b":push" in self.heard


class Proxy:
    """Forwards until told otherwise."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[_Pair] = []
        self._swallows = threading.Event()
        self._has_swallowed = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.swallowed_bytes = 0

    @property
    def url(self) -> str:
        """What managers are given."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def swallow_pushes(self) -> None:
        """From now on nothing that the server sends to a push connection of this moment arrives; new ones are free."""
        self._has_swallowed.clear()
        self._swallows.set()
        assert self._has_swallowed.wait(5), "the proxy has ended"

    def say_as_pushes(self, command: bytes) -> None:
        """Sends the server a command, as RESP, in the name of each push connection."""
        for pair in [pair for pair in self._pairs if pair.is_push]:
            pair.server.sendall(command)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._listener.close()
        for pair in self._pairs:
            pair.client.close()
            pair.server.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._over.is_set():
                for key, _ in selector.select(0.02):
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    elif isinstance(key.fileobj, socket.socket):
                        self._forward(selector, key.fileobj, key.data)
                if self._swallows.is_set():
                    self._swallows.clear()
                    for pair in self._pairs:
                        pair.is_swallowed |= pair.is_push
                    self._has_swallowed.set()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target, timeout=1)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        pair = _Pair(client, server)
        self._pairs.append(pair)
        selector.register(client, selectors.EVENT_READ, pair)
        selector.register(server, selectors.EVENT_READ, pair)

    def _forward(self, selector: selectors.BaseSelector, source: socket.socket, pair: _Pair) -> None:
        try:
            data = source.recv(1 << 16)
            if source is pair.client:
                pair.heard += data[: max(0, 1024 - len(pair.heard))]
            if data and not (source is pair.server and pair.is_swallowed):
                pair.others[source].sendall(data)
            elif data:
                self.swallowed_bytes += len(data)
        except OSError:
            data = b""
        if not data and pair in self._pairs:
            self._pairs.remove(pair)
            for end in (pair.client, pair.server):
                selector.unregister(end)
                end.close()
