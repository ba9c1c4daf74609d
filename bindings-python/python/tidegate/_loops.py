"""One port for each event loop, shared by all managers that the loop's tasks use.

The engine's threads push outcomes to the port's queue and ring its descriptor; the loop's reader settles the futures.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import threading
import weakref
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from ._tidegate import Port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    class Manager(Protocol):
        """What is told of its loops."""

        @property
        def _ports(self) -> Mapping[asyncio.AbstractEventLoop, Port]: ...
        def _deliver(self) -> None: ...
        def _left(self, loop: asyncio.AbstractEventLoop) -> None: ...
        def _renew(self) -> None: ...


_ports: dict[asyncio.AbstractEventLoop, Port] = {}
# Kept so that they are not collected before their loop ends.
_farewells: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}
_managers: weakref.WeakSet[Manager] = weakref.WeakSet()
_lock = threading.Lock()
# A loop that was closed in the middle of a turn is noticed so soon.
_LOOK_SECONDS = 1.0


def add(manager: Manager) -> None:
    """Tells a manager from now on of what its loops do."""
    with _lock:
        _managers.add(manager)


def _known() -> list[Manager]:
    with _lock:
        return list(_managers)


def port_of(loop: asyncio.AbstractEventLoop) -> Port:
    """The port of a running loop, made at its first use."""
    port = _ports.get(loop)
    if port is None:
        for gone in [known for known in list(_ports) if known.is_closed()]:
            _leave(gone)
        port = Port.of_loop(loop.create_future, lambda: _deliver(loop))
        try:
            loop.add_reader(port.fileno(), port.drain)
        except NotImplementedError:
            # As Windows' own: a thread watches for it.
            threading.Thread(target=_watch, args=(loop, port), name="tidegate-doorbell", daemon=True).start()
        _ports[loop] = port
        _farewells[loop] = farewell = _until_the_end(loop)
        _start(farewell)
    return port


def _watch(loop: asyncio.AbstractEventLoop, port: Port) -> None:
    """Has the loop empty its port whenever that rings; a close rings too."""
    while not port.closed:
        select.select([port.fileno()], [], [])
        is_empty = threading.Event()

        def drain(is_empty: threading.Event = is_empty) -> None:
            try:
                port.drain()
            finally:
                is_empty.set()

        try:
            loop.call_soon_threadsafe(drain)
        except RuntimeError:
            return  # the loop is closed
        while not is_empty.wait(_LOOK_SECONDS):
            if loop.is_closed():
                return


async def _until_the_end(loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
    """The loop closes the generators that were started in it when it ends, and so this one leaves the loop."""
    try:
        yield
    finally:
        _leave(loop)


def _start(generator: AsyncGenerator[None, None]) -> None:
    step: Any = generator.asend(None)
    # A loop that goes on after its generators were closed warns of new ones; the next manager's loop cleans up then.
    with contextlib.suppress(StopIteration, ResourceWarning):
        step.send(None)


def _leave(loop: asyncio.AbstractEventLoop) -> None:
    port = _ports.pop(loop, None)
    _farewells.pop(loop, None)
    if port is None:
        return
    if not loop.is_closed():
        with contextlib.suppress(NotImplementedError):
            loop.remove_reader(port.fileno())
    port.close()
    for manager in _known():
        manager._left(loop)


def _deliver(loop: asyncio.AbstractEventLoop) -> None:
    for manager in _known():
        if loop in manager._ports:
            manager._deliver()


def forget_all() -> None:
    """In a forked child: the loops, and the descriptors that they watch, are the parent's too. Nothing is undone."""
    global _lock
    _lock = threading.Lock()
    _ports.clear()
    _farewells.clear()
    for manager in _known():
        manager._renew()
