"""A Redis Cluster of one's own: real servers on this machine, joined by CLUSTER MEET.

    with RedisCluster(primaries=3, replicas=1) as cluster:
        cache = CacheManager(cluster.url, service="billing")
        cluster.primary_of("billing:v1:user:1").pause()

Every node is a `RedisServer`, with its faults. `migrate_slot` moves a slot and its keys as `redis-cli --cluster
reshard` does, `failover` makes a replica the primary in order. The cluster answers for the slots that it has: one that
is lost with its primary does not take the others along (`cluster-require-full-coverage no`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count as count_up
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from redis import Redis, RedisError
from redis.crc import key_slot

from tests.support.redis_server import RedisServer, free_port

if TYPE_CHECKING:
    from tests.support.acl import Access
    from tests.support.certificates import Certificates

SLOTS = 16_384
AGREE_SECONDS = 30.0
# As redis-cli has them.
KEYS_AT_ONCE = 10
MIGRATE_MS = 60_000


class ClusterNode(RedisServer):
    """One server of a cluster."""

    def __init__(
        self,
        *options: str,
        node_timeout_ms: int,
        tls: Certificates | None = None,
        access: Access | None = None,
        binary: str | None = None,
    ) -> None:
        self._bus_port = 0
        self._node_timeout_ms = node_timeout_ms
        self._id = ""
        super().__init__(*options, tls=tls, access=access, binary=binary)

    @property
    def id(self) -> str:
        """Its name in the cluster; a restart keeps it."""
        if not self._id:
            self._id = str(self.ask("CLUSTER", "MYID"))
        return self._id

    def ask(self, *command: Any) -> Any:
        """The answer to one command, texts as `str`."""
        with self.client(decode_responses=True, socket_timeout=5) as client:
            return client.execute_command(*command)

    def info(self, section: str) -> dict[str, Any]:
        """INFO's section."""
        with self.client(decode_responses=True, socket_timeout=5) as client:
            info: dict[str, Any] = client.info(section)
            return info

    def _command(self, folder: Path, port: int) -> list[str]:
        if not self._bus_port:
            self._bus_port = free_port(self.host)
        settings = ["--cluster-enabled", "yes", "--cluster-port", str(self._bus_port)]
        settings += ["--cluster-node-timeout", str(self._node_timeout_ms), "--cluster-require-full-coverage", "no"]
        # Replicas get their copy at once, and are let take over whenever they last heard of their primary.
        settings += ["--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0"]
        if self._tls:
            settings += ["--tls-cluster", "yes"]
        return [*super()._command(folder, port), *settings]

    @property
    def bus_port(self) -> int:
        """Where the other nodes speak to it."""
        return self._bus_port


class RedisCluster:
    """Primaries with the slots shared out evenly, each with so many replicas; a context manager.

    `options` go to every redis-server. `tls` and `access` are as `RedisServer` has them; with TLS the nodes speak it to
    each other too.
    """

    def __init__(
        self,
        *options: str,
        primaries: int = 3,
        replicas: int = 0,
        node_timeout_ms: int = 2_000,
        tls: Certificates | None = None,
        access: Access | None = None,
        binary: str | None = None,
    ) -> None:
        self._tls = tls
        self._access = access
        self.node_timeout_ms = node_timeout_ms
        self._first_primaries = primaries
        self.nodes = [
            ClusterNode(*options, node_timeout_ms=node_timeout_ms, tls=tls, access=access, binary=binary)
            for _ in range(primaries * (1 + replicas))
        ]

    @property
    def url(self) -> str:
        """`redis-cluster://127.0.0.1:PORT,…`, every node named."""
        return self.url_of(self.nodes)

    def url_of(self, seeds: list[ClusterNode]) -> str:
        """The same with these seeds only."""
        credentials = f"{self._access.user.in_url}@" if self._access else ""
        scheme = f"redis{'s' if self._tls else ''}-cluster"
        return f"{scheme}://{credentials}{','.join(node.address for node in seeds)}"

    @property
    def options(self) -> dict[str, Any]:
        """What a manager needs besides the URL."""
        return {"tls": self._tls.options()} if self._tls else {}

    # Who is who -------------------------------------------------------------------------------------------------------

    @property
    def primaries(self) -> list[ClusterNode]:
        """The nodes that hold slots now, in the order of their slots."""
        return [node for node, _ in sorted(self._holders(), key=lambda each: each[1][0])]

    def primary_of(self, key: str) -> ClusterNode:
        """The node that holds `key` now."""
        return self.holder_of(slot_of(key))

    def holder_of(self, slot: int) -> ClusterNode:
        """The node that holds this slot now."""
        for node, slots in self._holders():
            if _has(slots, slot):
                return node
        raise LookupError(f"nobody holds slot {slot}")

    def replicas_of(self, primary: ClusterNode) -> list[ClusterNode]:
        """The nodes that copy it."""
        return [node for node in self._running() if self._view(node).get(node.id, {}).get("copies") == primary.id]

    def keys_of(self, primary: ClusterNode, count: int, pattern: str, full: str = "{}") -> list[str]:
        """So many keys that this primary holds: `pattern` with numbers for `{}`; `full` makes a stored key of it."""
        slots = next(slots for node, slots in self._holders() if node is primary)
        keys = (pattern.format(number) for number in count_up())
        return list(islice((key for key in keys if _has(slots, slot_of(full.format(key)))), count))

    # Clients of the tests' own ----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def clients(self) -> Iterator[list[Redis]]:
        """A client for each node that holds keys."""
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(node.client()) for node in self.primaries]

    @contextlib.contextmanager
    def client_of(self, key: str) -> Iterator[Redis]:
        """A client of the node that holds `key`."""
        with self.primary_of(key).client() as client:
            yield client

    # Faults -----------------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """SIGSTOP to all nodes."""
        for node in self._running():
            node.pause()

    def resume(self) -> None:
        """SIGCONT to all nodes."""
        for node in self._running():
            node.resume()

    def kill(self) -> None:
        """SIGKILL to all nodes."""
        for node in self._running():
            node.kill()

    def start(self) -> None:
        """Start the nodes that do not run; returns when all agree. After a `kill` they have slots, but no keys."""
        is_new = not any(node.port for node in self.nodes)
        with ThreadPoolExecutor(len(self.nodes)) as threads:
            list(threads.map(lambda node: None if node.is_running else node.start(), self.nodes))
        if is_new:
            self._join()
        self.wait_until_agreed()

    def failover(self, primary: ClusterNode) -> ClusterNode:
        """Make a replica of `primary` the primary, in order (CLUSTER FAILOVER); it, when all nodes agree."""
        replica = self.replicas_of(primary)[0]
        replica.ask("CLUSTER", "FAILOVER")
        self.wait_until(lambda: replica in self.primaries, "the replica did not take over")
        self.wait_until_agreed()
        return replica

    def wait_for_takeover(self, lost: ClusterNode, seconds: float = AGREE_SECONDS) -> ClusterNode:
        """Wait until the slots of a primary that has died are another's; that one."""
        first = self._view(self._some_node(but=lost))[lost.id]
        slots = first["slots"]

        def taken_by() -> ClusterNode | None:
            for node in self._running():
                if node is not lost:
                    held = self._view(self._some_node(but=lost)).get(node.id, {})
                    if slots and held.get("is_primary") and set(slots) <= set(held["slots"]):
                        return node
            return None

        self.wait_until(lambda: taken_by() is not None, "nobody took over", seconds)
        heir = taken_by()
        assert heir is not None
        return heir

    def migrate_slot(
        self, slot: int, to: ClusterNode, *, keys_at_once: int = KEYS_AT_ONCE, pause_seconds: float = 0.0
    ) -> int:
        """Move a slot and its keys, as `redis-cli --cluster reshard` does; how many keys were moved.

        With a pause after each step it takes the time that a slot with many keys does.
        """
        source = self.holder_of(slot)
        if source is to:
            return 0
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)
        moved = 0
        with source.client(socket_timeout=5) as client:
            time.sleep(pause_seconds)
            while keys := client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, keys_at_once):
                client.execute_command(*self._migrate(to), "KEYS", *keys)
                moved += len(keys)
                time.sleep(pause_seconds)
        # The node that gets it learns of it first, then the one that gives it, then all others.
        others = [node for node in self.primaries if node not in (source, to)]
        for node in (to, source, *others):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", to.id)
        return moved

    def _migrate(self, to: ClusterNode) -> list[Any]:
        admin = self._access.admin if self._access else None
        login = ["AUTH2", admin.name, admin.password] if admin else []
        return ["MIGRATE", to.host, to.port, "", 0, MIGRATE_MS, *login]

    # Its making -------------------------------------------------------------------------------------------------------

    def _join(self) -> None:
        count = self._first_primaries
        primaries, replicas = self.nodes[:count], self.nodes[count:]
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for number, node in enumerate(primaries):
            node.ask("CLUSTER", "ADDSLOTSRANGE", SLOTS * number // count, SLOTS * (number + 1) // count - 1)
        # Everybody meets everybody: gossip alone takes seconds.
        for number, node in enumerate(self.nodes):
            for other in self.nodes[number + 1 :]:
                node.ask("CLUSTER", "MEET", other.host, other.port, other.bus_port)
        for number, replica in enumerate(replicas):
            primary = primaries[number % count]
            self.wait_until(partial(_copies, replica, primary), "a replica does not get to know its primary")

    def wait_until_agreed(self, seconds: float = AGREE_SECONDS) -> None:
        """Wait until every running node sees the same holders of all slots, none failed, every replica in touch."""
        self.wait_until(self._is_agreed, "the nodes do not agree", seconds)

    def wait_until(self, holds: Callable[[], bool], what: str, seconds: float = AGREE_SECONDS) -> None:
        """Ask until it holds; `RuntimeError` says `what` is wrong when it does not in time."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(RedisError, OSError):
                if holds():
                    return
            if time.monotonic() > deadline:
                raise RuntimeError(what)
            time.sleep(0.02)

    def _is_agreed(self) -> bool:
        running = self._running()
        views = []
        for node in running:
            if "cluster_state:ok" not in node.ask("CLUSTER", "INFO"):
                return False
            view = self._view(node)
            if any(each["is_failed"] for id_, each in view.items() if id_ in {one.id for one in running}):
                return False
            views.append(
                {id_: (each["is_primary"], each["copies"], tuple(each["slots"])) for id_, each in view.items()}
            )
        if any(view != views[0] for view in views) or len(views[0]) != len(self.nodes):
            return False
        for node in running:
            replication = node.info("replication")
            if replication["role"] == "slave" and replication["master_link_status"] != "up":
                return False
        return True

    def _view(self, node: ClusterNode) -> dict[str, dict[str, Any]]:
        """What one node knows of all: CLUSTER NODES, by id."""
        view: dict[str, dict[str, Any]] = {}
        with node.client(decode_responses=True, socket_timeout=5) as client:
            raw = client.connection_pool.get_connection()
            try:
                raw.send_command("CLUSTER", "NODES")  # as it is: redis-py would take it apart by address
                text = str(raw.read_response())
            finally:
                client.connection_pool.release(raw)
        for line in text.splitlines():
            id_, _, flags, copies, *rest = line.split(" ")
            # A slot on its way stands in brackets.
            ranges = [part for part in rest[4:] if not part.startswith("[")]
            kinds = flags.split(",")
            view[id_] = {
                "is_primary": "master" in kinds,
                "is_failed": "fail" in kinds or "fail?" in kinds or "handshake" in kinds,
                "copies": None if copies == "-" else copies,
                "slots": [int(end) for part in ranges for end in (part.split("-") * 2)[:2]],
            }
        return view

    def _holders(self) -> list[tuple[ClusterNode, list[int]]]:
        """Who holds which slots (pairs of first and last), by the word of the newest view that can be had."""
        by_id = {node.id: node for node in self.nodes if node.is_running or node._id}
        view = self._view(self._some_node())
        return [(by_id[id_], each["slots"]) for id_, each in view.items() if each["slots"] and id_ in by_id]

    def _some_node(self, but: ClusterNode | None = None) -> ClusterNode:
        for node in self._running():
            if node is not but:
                with contextlib.suppress(RedisError, OSError), node.client(socket_timeout=0.5) as client:
                    client.ping()
                    return node
        raise RuntimeError("no node of the cluster answers")

    def _running(self) -> list[ClusterNode]:
        return [node for node in self.nodes if node.is_running]

    def __enter__(self) -> RedisCluster:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            if node.is_running:
                node.resume()
                node.kill()  # nothing of it is kept; in order would take a replica's time
            node.remove()


def slot_of(key: str) -> int:
    """The slot of a key, by what stands in its braces."""
    return int(key_slot(key.encode()))


def _copies(replica: ClusterNode, primary: ClusterNode) -> bool:
    """Refused for as long as they have not met."""
    return bool(replica.ask("CLUSTER", "REPLICATE", primary.id))


def _has(slots: list[int], slot: int) -> bool:
    return any(first <= slot <= last for first, last in zip(slots[::2], slots[1::2], strict=True))
