"""One port for each thread that blocks, and the thread that delivers to observers."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from .._tidegate import Port

if TYPE_CHECKING:
    from typing import Protocol

    class Observed(Protocol):
        """What has events to deliver."""

        def _deliver(self) -> None: ...

    class Manager(Observed, Protocol):
        """What is told of its threads."""

        def _renew(self) -> None: ...
        def _begin_anew(self) -> None: ...


_local = threading.local()
managers: weakref.WeakSet[Manager] = weakref.WeakSet()
_is_forked = False


def port() -> Port:
    """The port of this thread, made at its first use."""
    try:
        return _local.port  # type: ignore[no-any-return]  # an attribute of a local has no type
    except AttributeError:
        _local.port = Port.of_thread(threading.current_thread() is threading.main_thread())
        _begin_anew()
        return port()


def apart(work: Callable[..., None], *arguments: Any, name: str) -> threading.Thread:
    """A thread for what is nobody's call, and that holds up no exit.

    It inherits nothing of whoever happens to start it, as without a GIL a thread does by default: no span of a request,
    no block that is disabled.
    """
    return threading.Thread(target=Context().run, args=(work, *arguments), name=name, daemon=True)


def start_courier(manager: Observed) -> Port:
    """A thread that delivers `manager`'s events until its port is closed or the manager is gone."""
    home = Port.of_thread(False)
    # The thread keeps no manager alive; one that goes away closes the port, and so ends the thread.
    reference = weakref.ref(manager)
    weakref.finalize(manager, home.close)
    apart(_carry, home, reference, name="tidegate-events").start()
    return home


def _carry(home: Port, reference: weakref.ref[Observed]) -> None:
    while home.wait_events():
        manager = reference()
        if manager is None:
            return
        try:
            manager._deliver()
        except (KeyboardInterrupt, SystemExit):
            # No program ends by this thread, and the next events are to be told too.
            import logging

            logging.getLogger("tidegate").exception("an observer would end the program")
        del manager


def _begin_anew() -> None:
    """In a forked child that uses a manager: what has threads of its own has them here too."""
    global _is_forked
    if _is_forked:
        _is_forked = False
        for manager in list(managers):
            manager._begin_anew()


def renew() -> None:
    """In a forked child: the parent's threads are not here, and its ports are the parent's."""
    global _is_forked, _local
    _is_forked = True
    _local = threading.local()
    for manager in managers:
        manager._renew()
