"""A PostgreSQL cluster of one's own, for tests and examples.

    with PostgresServer() as server:
        with psycopg.connect(server.dsn) as connection: ...

It has a new folder and a free port of 127.0.0.1, runs as an unprivileged user (PostgreSQL refuses root), and is gone,
with its folder, when the block is left. No service of the system is touched.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.redis_server import free_port

NOBODY = "nobody"
# A lost file is a lost test, no more.
SETTINGS = "-c fsync=off -c full_page_writes=off -c unix_socket_directories="
START_SECONDS = "30"


def _program(name: str) -> str:
    """Debian keeps them beside each other by version, and only some on PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    program = str(found[-1]) if found else shutil.which(name)
    if program is None:
        raise FileNotFoundError(f"there is no {name}; `make build` installs PostgreSQL")
    return program


class PostgresServer:
    """One cluster; a context manager."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tidegate-postgres-"))
        self._port = 0
        # As root the programs are run as somebody else.
        self._user: dict[str, Any] = {"user": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}

    @property
    def dsn(self) -> str:
        """For psycopg, and for `pg` in Node.js."""
        return f"postgresql://tidegate@127.0.0.1:{self._port}/postgres"

    def _run(self, *command: str) -> None:
        log = self._folder / "log"
        with log.open("ab") as file:
            ran = subprocess.run(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False, **self._user
            )
        if ran.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{log.read_text(errors='replace')[-2000:]}")

    def _start(self) -> None:
        if self._user:
            nobody = pwd.getpwnam(NOBODY)
            self._user["group"] = nobody.pw_gid
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
        data = str(self._folder / "data")
        access = ["--username", "tidegate", "--auth", "trust"]
        self._run(_program("initdb"), "--pgdata", data, *access, "--encoding", "UTF8", "--locale", "C", "--no-sync")
        # Another program may take a free port before the server does.
        for attempt in range(5):
            self._port = free_port()
            try:
                options = f"-h 127.0.0.1 -p {self._port} {SETTINGS}"
                self._run(
                    _program("pg_ctl"), "start", "--wait", "-t", START_SECONDS, "--pgdata", data, "--options", options
                )
                return
            except RuntimeError:
                if attempt == 4:
                    raise

    def __enter__(self) -> PostgresServer:
        try:
            self._start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._run(
                _program("pg_ctl"), "stop", "--wait", "--mode", "immediate", "--pgdata", str(self._folder / "data")
            )
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
