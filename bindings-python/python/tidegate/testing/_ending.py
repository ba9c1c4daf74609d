"""The end of a fixture's manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._tidegate import Port

if TYPE_CHECKING:
    from .._base import ManagerBase


def finish(cache: ManagerBase) -> None:
    """Close a manager of either kind, wherever this is called: what is under way is given no time."""
    port = Port.of_thread(False)
    closed: Any = cache._native.close(port, 0)
    port.close()
    del closed
    (cache._root or cache)._deliver()
