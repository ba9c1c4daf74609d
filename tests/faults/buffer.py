"""What is done without a queue: writes are acknowledged from a list in memory, which goes to the ledger twice a second.

    python -m tests.faults.buffer LEDGER_PORT

Tells each write as it is acknowledged: `{"acked": [key, value, id]}`.
"""

from __future__ import annotations

import json
import socket
import sys
import time

FLUSH_SECONDS = 0.5


def main(port: int) -> None:
    buffer: list[tuple[str, int, str]] = []
    flushed = time.monotonic()
    for number in range(1, 1_000_000):
        write = (f"naive:{number % 20}", number, f"{number}-0")
        buffer.append(write)
        print(json.dumps({"acked": write}), flush=True)
        if time.monotonic() - flushed > FLUSH_SECONDS:
            with socket.create_connection(("127.0.0.1", port)) as link, link.makefile("rw") as lines:
                lines.write(json.dumps({"pid": 0, "items": buffer}) + "\n")
                lines.flush()
                lines.readline()
            buffer, flushed = [], time.monotonic()
        time.sleep(0.002)


if __name__ == "__main__":
    main(int(sys.argv[1]))
