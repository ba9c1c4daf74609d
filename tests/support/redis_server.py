"""A redis-server of one's own, for tests, benchmarks and the demo.

    with RedisServer() as server:
        client = redis.Redis.from_url(server.url)

It listens on a free port of 127.0.0.1, keeps its files in a folder of its own, and is gone, with that folder, when the
block is left. Faults are methods: `pause` and `resume` (SIGSTOP, SIGCONT), `kill` (SIGKILL), `start` after a `kill`.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

START_SECONDS = 10.0
STOP_SECONDS = 5.0


class RedisServer:
    """One redis-server process; a context manager.

    `options` are passed to redis-server as they are: `RedisServer("--appendonly", "yes")`. Without them nothing is
    written to disk, so a `kill` and `start` come back empty. The port stays the same through every restart.
    """

    def __init__(self, *options: str) -> None:
        binary = shutil.which("redis-server") or shutil.which("valkey-server")
        if binary is None:
            raise FileNotFoundError("neither redis-server nor valkey-server is on PATH; `make build` installs one")
        self._binary = binary
        self._options = options
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.host = "127.0.0.1"
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients connect: `redis://127.0.0.1:PORT/0`."""
        return f"redis://{self.host}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    def start(self) -> None:
        """Start the server and return when it answers PING; raises `RuntimeError` with its log when it does not."""
        if self._process is not None:
            raise RuntimeError("this redis-server runs already")
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="tidegate-redis-"))
        # Another program may take a free port before the server does: a first start may try another.
        attempts = 1 if self.port else 5
        for attempt in range(1, attempts + 1):
            port = self.port or _free_port(self.host)
            if self._spawn(self._folder, port):
                self.port = port
                return
            if attempt == attempts:
                log = (self._folder / "log").read_text(errors="replace")
                raise RuntimeError(f"redis-server did not start on port {port}:\n{log[-2000:]}")

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

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("this redis-server does not run; call start() first")
        return self._process

    def _spawn(self, folder: Path, port: int) -> bool:
        settings = ["--bind", self.host, "--port", str(port), "--dir", str(folder), "--save", ""]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [self._binary, *settings, *self._options], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None:
            if _answers_ping(self.host, port):
                self._process = process
                return True
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                break
            time.sleep(0.01)
        return False


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _answers_ping(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1) as link:
            link.sendall(b"PING\r\n")
            return link.recv(64).startswith(b"+PONG")
    except OSError:
        return False
