"""A PostgreSQL server of one's own, for tests and examples.

    with PostgresServer() as server:
        with psycopg.connect(server.dsn) as connection: ...

It has a new cluster in a folder of its own, a free port of 127.0.0.1, runs as an unprivileged user (PostgreSQL refuses
root), and is gone, with its folder, when the block is left. No service of the system is touched.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.redis_server import free_port
from tests.support.until import until

NOBODY = "nobody"
# Nothing is to survive the machine: these tests kill clients, not the server.
SETTINGS = ("-F", "-c", "full_page_writes=off", "-c", "unix_socket_directories=")
START_SECONDS = 30.0
STOP_SECONDS = 10.0


class PostgresServer:
    """One server; a context manager."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="tidegate-postgres-", ignore_cleanup_errors=True)
        self._folder = Path(self._home.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def dsn(self) -> str:
        """For psycopg, and for `pg` in Node.js."""
        return f"postgresql://tidegate@127.0.0.1:{self._port}/postgres"

    def __enter__(self) -> PostgresServer:
        try:
            user = self._unprivileged()
            owner = ("--username", "tidegate", "--auth", "trust")
            made = self._begin(
                "initdb", "--pgdata", self._data, *owner, "--encoding", "UTF8", "--locale", "C", "--no-sync", user=user
            )
            if made.wait(START_SECONDS):
                raise RuntimeError(f"initdb failed:\n{self._log}")
            # Another program may take a free port before the server does.
            while not self._starts(user):
                if not self._is_port_taken():
                    raise RuntimeError(f"postgres did not start:\n{self._log}")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    @property
    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2000:]

    def _unprivileged(self) -> dict[str, Any]:
        """Who runs the programs: as root somebody else, who is given the folder."""
        if os.getuid() != 0:
            return {}
        nobody = pwd.getpwnam(NOBODY)
        os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def _begin(self, program: str, *arguments: str, user: dict[str, Any]) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("wb") as log:
            command = (_found(program), *arguments)
            return subprocess.Popen(command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **user)

    def _starts(self, user: dict[str, Any]) -> bool:
        self._port = free_port()
        place = ("-D", self._data, "-h", "127.0.0.1", "-p", str(self._port))
        process = self._process = self._begin("postgres", *place, *SETTINGS, user=user)
        until(lambda: self._is_ready() or process.poll() is not None, START_SECONDS, "postgres is not ready")
        return process.poll() is None

    def _is_ready(self) -> bool:
        """The last line of its file says so; that is what pg_ctl goes by."""
        try:
            return (Path(self._data) / "postmaster.pid").read_text().split()[-1:] == ["ready"]
        except FileNotFoundError:
            return False

    def _is_port_taken(self) -> bool:
        return "Address already in use" in self._log

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGQUIT)  # at once, whatever its clients do
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._home.cleanup()


def _found(program: str) -> str:
    """Debian keeps them beside each other, by version; few are on PATH."""
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{program}")
    newest = max(versions, key=lambda path: int(path.parts[-3]), default=None)
    found = str(newest) if newest else shutil.which(program)
    if found is None:
        raise FileNotFoundError(f"there is no {program}; `make build` installs PostgreSQL")
    return found
