"""A master, its replicas and the Sentinels that watch them: real processes on this machine.

    with RedisSentinel(replicas=1, sentinels=3, down_after_ms=1000) as group:
        cache = CacheManager(group.url, service="billing")
        group.failover()

`master` is whoever is the master now. Faults are those of the servers: `group.master.pause()`. A `kill` and `start` of
the group are the master's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from redis import Redis, RedisError

from tests.support.redis_server import RedisServer

if TYPE_CHECKING:
    from tests.support.acl import Access
    from tests.support.certificates import Certificates

READY_SECONDS = 30.0


class DataNode(RedisServer):
    """A master or a replica."""

    def __init__(self, *options: str, tls: Certificates | None = None, access: Access | None = None) -> None:
        self._first_master: DataNode | None = None
        super().__init__(*options, tls=tls, access=access)

    def copy_from(self, master: DataNode) -> None:
        """Begin as a replica of `master`; to be said before the first start."""
        self._first_master = master

    def role(self) -> str:
        """`master` or `slave`, by its own word."""
        with self.client(decode_responses=True, socket_timeout=1) as client:
            return str(client.role()[0])

    def _command(self, folder: Path, port: int) -> list[str]:
        # Replicas get their copy at once.
        settings = ["--repl-diskless-sync-delay", "0"]
        if self._first_master:
            settings += ["--replicaof", self._first_master.host, str(self._first_master.port)]
        return [*super()._command(folder, port), *settings]


class SentinelServer(RedisServer):
    """One Sentinel: a redis-server with a configuration that it writes itself."""

    def __init__(
        self,
        watched: tuple[str, ...],
        *,
        master: DataNode,
        tls: Certificates | None = None,
        access: Access | None = None,
    ) -> None:
        self._watched = watched
        self._first_master = master
        super().__init__(tls=tls, access=access)

    def ask(self, *command: Any) -> Any:
        """The answer to one command, texts as `str`."""
        with self.client(decode_responses=True, socket_timeout=1) as client:
            return client.execute_command(*command)

    def _command(self, folder: Path, port: int) -> list[str]:
        file = folder / "sentinel.conf"
        if not self.port:  # a restart goes on with what it has learned
            lines = [f'dir "{folder}"', f"bind {self.host}"]
            if self._tls:
                lines += ["port 0", f"tls-port {port}", *_as_lines(self._tls.server_options())]
            else:
                lines.append(f"port {port}")
            if self._access:
                lines += _as_lines(self._access.server_options())
            lines += [line.format(host=self._first_master.host, port=self._first_master.port) for line in self._watched]
            file.write_text("\n".join(lines) + "\n")
        return [self._binary, str(file), "--sentinel"]


class RedisSentinel:
    """One master with its replicas, and Sentinels that agree by majority; a context manager.

    `options` go to every data node. `access` are the accounts of the data nodes, `sentinel_access` those of the
    Sentinels; with `tls` all of them speak nothing else.
    """

    def __init__(
        self,
        *options: str,
        replicas: int = 1,
        sentinels: int = 3,
        down_after_ms: int = 1_000,
        failover_timeout_ms: int = 3_000,
        name: str = "main",
        tls: Certificates | None = None,
        access: Access | None = None,
        sentinel_access: Access | None = None,
    ) -> None:
        self.name = name
        self.down_after_ms = down_after_ms
        self._tls = tls
        self._access = access
        self._sentinel_access = sentinel_access
        self.nodes = [DataNode(*options, tls=tls, access=access) for _ in range(1 + replicas)]
        for replica in self.nodes[1:]:
            replica.copy_from(self.nodes[0])
        watched = [
            f"sentinel monitor {name} {{host}} {{port}} {sentinels // 2 + 1}",
            f"sentinel down-after-milliseconds {name} {down_after_ms}",
            f"sentinel failover-timeout {name} {failover_timeout_ms}",
        ]
        if access:
            watcher = access.account("sentinel")
            watched += [f"sentinel auth-user {name} {watcher.name}", f"sentinel auth-pass {name} {watcher.password}"]
        if sentinel_access:
            peer = sentinel_access.account("peer")
            watched += [f"sentinel sentinel-user {peer.name}", f"sentinel sentinel-pass {peer.password}"]
        self.sentinels = [
            SentinelServer(tuple(watched), master=self.nodes[0], tls=tls, access=sentinel_access)
            for _ in range(sentinels)
        ]

    @property
    def url(self) -> str:
        """`redis-sentinel://127.0.0.1:PORT,…/NAME`, every Sentinel named."""
        return self.url_of([sentinel.address for sentinel in self.sentinels])

    def url_of(self, addresses: list[str], name: str | None = None) -> str:
        """The same with these seeds, and another master's name perhaps."""
        credentials = f"{self._access.user.in_url}@" if self._access else ""
        url = f"redis{'s' if self._tls else ''}-sentinel://{credentials}{','.join(addresses)}/{name or self.name}"
        if self._sentinel_access:
            user = self._sentinel_access.user
            url += f"?sentinel_user={quote(user.name, safe='')}&sentinel_password={quote(user.password, safe='')}"
        return url

    @property
    def options(self) -> dict[str, Any]:
        """What a manager needs besides the URL."""
        return {"tls": self._tls.options()} if self._tls else {}

    # Who is who -------------------------------------------------------------------------------------------------------

    @property
    def master(self) -> DataNode:
        """The master now, by the word of the Sentinels' majority."""
        words = [word for sentinel in self.sentinels if (word := self._word_of(sentinel)) is not None]
        return max(words, key=words.count)

    @property
    def replicas(self) -> list[DataNode]:
        """All data nodes but the master."""
        master = self.master
        return [node for node in self.nodes if node is not master]

    @contextlib.contextmanager
    def clients(self) -> Iterator[list[Redis]]:
        """A client for each server that holds keys: the master."""
        with self.master.client() as client:
            yield [client]

    @contextlib.contextmanager
    def client_of(self, key: str) -> Iterator[Redis]:
        """A client of the server that holds `key`."""
        with self.master.client() as client:
            yield client

    # Faults -----------------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """SIGSTOP to the master."""
        self.master.pause()

    def resume(self) -> None:
        """SIGCONT to every data node."""
        for node in self.nodes:
            if node.is_running:
                node.resume()

    def kill(self) -> None:
        """SIGKILL to the master."""
        self.master.kill()

    def start(self) -> None:
        """Start what does not run; returns when the Sentinels know each other, and all data nodes."""
        for node in self.nodes:
            if not node.is_running:
                node.start()
        with ThreadPoolExecutor(len(self.sentinels)) as threads:
            list(threads.map(lambda each: None if each.is_running else each.start(), self.sentinels))
        self.wait_until_settled()

    def failover(self) -> DataNode:
        """SENTINEL FAILOVER; the new master, when all Sentinels name it.

        The old one goes on as a master of nobody until the Sentinels have made it a replica: some 10 s, which
        `wait_until_settled` waits for.
        """
        before = self.master
        self.sentinels[0].ask("SENTINEL", "FAILOVER", self.name)
        return self.wait_for_switch(before)

    def wait_for_switch(self, before: DataNode, seconds: float = READY_SECONDS) -> DataNode:
        """Wait until all Sentinels name a master that is not `before`, and it says so too; that one."""

        def is_switched() -> bool:
            named = {self._word_of(sentinel) for sentinel in self.sentinels if sentinel.is_running}
            return before not in named and len(named) == 1 and self.master.role() == "master"

        self._wait_until(is_switched, "the Sentinels do not switch", seconds)
        return self.master

    def wait_until_settled(self, seconds: float = READY_SECONDS) -> None:
        """Wait until each Sentinel sees a healthy master with all replicas, in touch, and all other Sentinels."""
        self._wait_until(self._is_settled, "the Sentinels do not agree", seconds)

    def _is_settled(self) -> bool:
        names = {self._word_of(sentinel) for sentinel in self.sentinels}
        if len(names) != 1 or None in names:
            return False
        for sentinel in self.sentinels:
            seen = _pairs(sentinel.ask("SENTINEL", "MASTER", self.name))
            if seen["flags"] != "master" or int(seen["num-other-sentinels"]) != len(self.sentinels) - 1:
                return False
            replicas = [_pairs(each) for each in sentinel.ask("SENTINEL", "REPLICAS", self.name)]
            if len(replicas) != len(self.nodes) - 1 or any(each["flags"] != "slave" for each in replicas):
                return False
        for node in self.replicas:
            with node.client(decode_responses=True, socket_timeout=1) as client:
                if client.info("replication").get("master_link_status") != "up":
                    return False
        return True

    def _word_of(self, sentinel: SentinelServer) -> DataNode | None:
        """The master by the word of one Sentinel."""
        with contextlib.suppress(RedisError, OSError):
            _host, port = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
            return next((node for node in self.nodes if node.port == int(port)), None)
        return None

    def _wait_until(self, holds: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(RedisError, OSError):
                if holds():
                    return
            if time.monotonic() > deadline:
                raise RuntimeError(what)
            time.sleep(0.05)

    def __enter__(self) -> RedisSentinel:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in [*self.sentinels, *self.nodes]:
            if server.is_running:
                server.resume()
                server.kill()  # nothing of it is kept
            server.remove()


def _pairs(answer: Any) -> dict[str, str]:
    """A Sentinel's flat list, or redis-py's map of it, as a map with flags in one text."""
    if isinstance(answer, dict):
        flags = answer.get("flags", "")
        text = ",".join(sorted(flags)) if isinstance(flags, (set, list)) else str(flags)
        return {**{str(name): str(value) for name, value in answer.items()}, "flags": text}
    return dict(zip(answer[::2], answer[1::2], strict=True))


def _as_lines(options: list[str]) -> list[str]:
    """Arguments of a command line as lines of a file."""
    lines: list[str] = []
    for option in options:
        if option.startswith("--"):
            lines.append(option[2:])
        else:
            lines[-1] += f' "{option}"'
    return lines
