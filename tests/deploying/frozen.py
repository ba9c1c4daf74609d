"""A process that holds an entry in L1, is stopped, and says what it read first when it went on.

python -m tests.deploying.frozen URL FLAG

FLAG is a path: a file appears there while the process is stopped.
"""

from __future__ import annotations

import json
import os
import sys
import time

from tidegate.sync import CacheManager


def main() -> None:
    """Reads on and on."""
    cache = CacheManager(sys.argv[1], service="frozen", l1="1MB", command_timeout="5s")
    cache.set("user:name:1", "old")

    def read() -> str:
        return cache.get("user:name:1", lambda: "from the database")

    while cache.stats()["l1_hits"] < 3:
        read()
    print(json.dumps({"holds": True}), flush=True)
    while not os.path.exists(sys.argv[2]):
        read()
    first, began = read(), time.monotonic()
    while read() != "new":
        pass
    print(json.dumps({"first": first, "old_ms": (time.monotonic() - began) * 1_000}), flush=True)


if __name__ == "__main__":
    main()
