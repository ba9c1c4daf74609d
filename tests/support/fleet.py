"""A fleet: the same function in several processes of one machine, begun at one moment."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Protocol

START_SECONDS = 60.0
EXIT_SECONDS = 5.0


class Gate(Protocol):
    """The starting line. A member calls `wait` once, when it is ready; it returns in all members together."""

    def wait(self, timeout: float | None = None) -> int:
        """Blocks until every member of the fleet is here."""


def run_fleet(members: int, work: Callable[..., Any], *arguments: Any, seconds: float) -> list[Any]:
    """`work(index, gate, *arguments)` in `members` new processes; what each returned, in order of index.

    The processes are spawned, so that none inherits a connection, a thread or a loop; `work` and its arguments must be
    importable and picklable. A member that raises, dies or is not done `seconds` after the start makes a
    `RuntimeError`, and the others are ended.
    """
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(members, timeout=START_SECONDS)
    fleet: list[SpawnProcess] = []
    pipes: dict[Connection, int] = {}
    try:
        for index in range(members):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_member, args=(theirs, work, index, gate, arguments), daemon=True)
            process.start()
            theirs.close()
            fleet.append(process)
            pipes[ours] = index
        results = _collect(pipes, time.monotonic() + START_SECONDS + seconds)
        for process in fleet:
            process.join(EXIT_SECONDS)
        return results
    finally:
        for process in fleet:
            if process.is_alive():
                process.kill()
            process.join()
        for pipe in pipes:
            pipe.close()


def _member(pipe: Connection, work: Callable[..., Any], index: int, gate: Gate, arguments: tuple[Any, ...]) -> None:
    try:
        pipe.send((True, work(index, gate, *arguments)))
    except BaseException as error:
        pipe.send((False, f"{type(error).__name__}: {error}"))
        raise


def _collect(pipes: dict[Connection, int], deadline: float) -> list[Any]:
    results: dict[int, Any] = {}
    while len(results) < len(pipes):
        waiting = [pipe for pipe, index in pipes.items() if index not in results]
        ready = wait(waiting, timeout=max(0.0, deadline - time.monotonic()))
        if not ready:
            raise RuntimeError(f"members {sorted(pipes[pipe] for pipe in waiting)} of the fleet were not done in time")
        for pipe in waiting:
            if pipe in ready:
                results[pipes[pipe]] = _receive(pipe, pipes[pipe])
    return [results[index] for index in sorted(results)]


def _receive(pipe: Connection, index: int) -> Any:
    try:
        done, value = pipe.recv()
    except EOFError:
        raise RuntimeError(f"member {index} of the fleet died without a word") from None
    if not done:
        raise RuntimeError(f"member {index} of the fleet failed: {value}")
    return value
