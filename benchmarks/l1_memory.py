"""What an entry of L1 takes beside its key and payload, in a process that reads what another has written.

python -m benchmarks.l1_memory --entries 100000

A process that had written the entries itself would hold them in memory that the writes have freed.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.redis_server import RedisServer

PAGE_BYTES = 4096
MALLINFO = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


class Mallinfo(ctypes.Structure):
    """What glibc's `mallinfo2` tells."""

    _fields_ = [(name, ctypes.c_size_t) for name in MALLINFO.split()]


def resident_bytes() -> int:
    """The resident set of this process, by Linux's count."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def allocated_bytes() -> int:
    """What is allocated in this process, with the allocations' heads, by glibc's count."""
    mallinfo = ctypes.CDLL("libc.so.6").mallinfo2
    mallinfo.restype = Mallinfo
    info = mallinfo()
    return int(info.uordblks + info.hblkhd)


def batched(keys: list[str], size: int) -> Iterator[list[str]]:
    """The keys, `size` at a time."""
    return (keys[at : at + size] for at in range(0, len(keys), size))


def manager(url: str, **options: Any) -> Any:
    """One's own cache."""
    from tidegate.sync import CacheManager

    return CacheManager(url, service="memory", command_timeout=5, ttl=3600, **options)


def write(url: str, keys: list[str], payload: int) -> None:
    """Writes values of `payload` bytes."""
    value = {"text": "x" * (payload - len('{"text":""}'))}
    with manager(url) as cache:
        for some in batched(keys, 1_000):
            cache.set_many(dict.fromkeys(some, value))


def read(url: str, keys: list[str], payload: int) -> None:
    """Fills L1, and prints what it took."""
    # So many entries at the most that none weighs more than it takes.
    with manager(url, l1={"max_bytes": 1 << 30, "max_entries": 10_000_000}) as cache:
        for some in batched(keys[:1_000], 100):
            cache.get_many(some, lambda missing: {})
        gc.collect()
        held = cache.stats()["l1_entries"]
        before = resident_bytes(), allocated_bytes()
        for some in batched(keys[1_000:], 100):
            cache.get_many(some, lambda missing: {})
        gc.collect()
        took = resident_bytes() - before[0], allocated_bytes() - before[1]
        stats = cache.stats()
    entries = stats["l1_entries"] - held
    user = sum(len(key) for key in keys) / len(keys) + payload
    resident, allocated = (bytes_taken / entries - user for bytes_taken in took)
    counted = stats["l1_bytes"] / stats["l1_entries"] - user
    print(
        f"{entries:,} entries held; bytes each over key and payload: {resident:,.0f} resident, "
        f"{allocated:,.0f} allocated, {counted:,.0f} by L1's own count"
    )


def main() -> None:
    """Starts a server and both processes; or is one of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--payload", type=int, default=100)
    parser.add_argument("--part", choices=("write", "read"), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        keys = [f"user:profile:{number}" for number in range(asked.entries)]
        return {"write": write, "read": read}[asked.part](asked.url, keys, asked.payload)
    with RedisServer() as server:
        for part in ("write", "read"):
            command = [sys.executable, "-m", "benchmarks.l1_memory", "--part", part, "--url", server.url]
            subprocess.run([*command, *sys.argv[1:]], check=True)
    return None


if __name__ == "__main__":
    main()
