"""The process's turning points: a fork, and the end of the interpreter."""

from __future__ import annotations

import atexit
import os
import sys

from . import _observing, _tidegate


def _after_fork_in_child() -> None:
    _tidegate.after_fork()
    _observing.renew()
    # Only what has been used is there to be renewed.
    if (loops := sys.modules.get("tidegate._loops")) is not None:
        loops.forget_all()
    if (threads := sys.modules.get("tidegate.sync._threads")) is not None:
        threads.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
# Threads that still wait in native code when the interpreter ends would be killed there, in the middle.
atexit.register(_tidegate.prepare_exit)
