"""What an entry of L1 takes beside its key and payload, by the process's resident memory.

python -m benchmarks.l1_memory --entries 100000
"""

from __future__ import annotations

import argparse
import gc
from pathlib import Path

from tests.support.redis_server import RedisServer

PAGE_BYTES = 4096


def resident_bytes() -> int:
    """The resident set of this process, by Linux's count."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def main() -> None:
    """Fills L1 through a real server, and prints what it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--payload", type=int, default=100)
    asked = parser.parse_args()
    from tidegate.sync import CacheManager

    keys = [f"user:profile:{number}" for number in range(asked.entries)]
    value = {"text": "x" * (asked.payload - len('{"text":""}'))}
    options = {"service": "memory", "command_timeout": 5, "ttl": 3600}
    with RedisServer() as server, CacheManager(server.url, l1="1GB", **options) as cache:  # type: ignore[arg-type]
        for at in range(0, asked.entries, 1_000):
            cache.set_many(dict.fromkeys(keys[at : at + 1_000], value))
        gc.collect()
        before = resident_bytes()
        for key in keys:
            cache.get(key, default=None)
        gc.collect()
        stats = cache.stats()
        took = resident_bytes() - before
    user = sum(len(key) for key in keys) + asked.entries * asked.payload
    print(
        f"{stats['l1_entries']:,} entries held, {stats['l1_bytes'] / asked.entries:,.0f} bytes each by its own count, "
        f"{(took - user) / asked.entries:,.0f} bytes each over key and payload by the process's resident memory"
    )


if __name__ == "__main__":
    main()
