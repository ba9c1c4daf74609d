"""What it costs a redis-server to tell processes of changes: one tracked connection each, as L1 has it.

    python -m benchmarks.push_cost

Writes as fast as `redis-benchmark` can (SETs of 100 bytes on 100,000 keys under one service's prefix, 50 connections),
with 1, 10, 100 and more processes that track that prefix (`CLIENT TRACKING ON BCAST`), interleaved rounds in one run. A
tracking process is played by a socket that reads what it is told and does nothing with it, in another process, so that
the server's own share is seen. Besides, writes at a fixed rate, as a service makes them: the server's CPU time a write.
"""

from __future__ import annotations

import argparse
import multiprocessing
import selectors
import socket
import statistics
import subprocess
import time
from collections import defaultdict
from multiprocessing.connection import Connection

from redis import Redis

from tests.support.redis_server import RedisServer

PREFIX = "bench:v1:"
PAYLOAD_BYTES = 100
KEYS = 100_000


def listen(port: int, processes: int, control: Connection) -> None:
    """Opens the tracked connections, says so, and reads whatever comes until it is told to end."""
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(processes)]
    ask = [["HELLO", "3"], ["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", PREFIX]]
    out = b"".join(
        b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p.encode()) for p in parts) for parts in ask
    )
    for each in sockets:
        each.sendall(out)
        while b"+OK\r\n" not in each.recv(1 << 16):
            pass
        each.setblocking(False)
    control.send("ready")
    told = 0
    with selectors.DefaultSelector() as selector:
        for each in sockets:
            selector.register(each, selectors.EVENT_READ)
        while not control.poll():
            for key, _ in selector.select(0.05):
                assert isinstance(key.fileobj, socket.socket)
                told += len(key.fileobj.recv(1 << 20))
    control.send(told)


def cpu_seconds(redis: Redis) -> float:
    """The server's own time so far."""
    used = redis.info("cpu")
    return float(used["used_cpu_user_main_thread"]) + float(used["used_cpu_sys_main_thread"])


def benchmark(server: RedisServer, writes: int) -> float:
    """Writes a second, as fast as they go."""
    command = [
        "redis-benchmark",
        "-h",
        server.host,
        "-p",
        str(server.port),
        "-q",
        "--csv",
        "-n",
        str(writes),
        "-c",
        "50",
    ]
    command += ["-r", str(KEYS), "SET", f"{PREFIX}row:number:__rand_int__", "x" * PAYLOAD_BYTES]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(printed.strip().splitlines()[-1].split(",")[1].strip('"'))


def paced(redis: Redis, rate: int, seconds: float) -> None:
    """Writes at this rate, in a batch each 10 ms."""
    batch = rate // 100
    begun = time.perf_counter()
    for number in range(int(seconds * 100)):
        pipeline = redis.pipeline(transaction=False)
        for at in range(batch):
            pipeline.set(f"{PREFIX}row:number:{(number * batch + at) % KEYS}", "x" * PAYLOAD_BYTES)
        pipeline.execute()
        time.sleep(max(0.0, begun + (number + 1) / 100 - time.perf_counter()))


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processes", type=int, nargs="*", default=[0, 1, 10, 100, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--writes", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=1_000, help="paced writes a second (%(default)s)")
    asked = parser.parse_args()
    figures: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with RedisServer() as server, Redis.from_url(server.url) as redis:
        for turn in range(asked.rounds):
            order = asked.processes[turn % len(asked.processes) :] + asked.processes[: turn % len(asked.processes)]
            for processes in order:
                ours, theirs = multiprocessing.Pipe()
                child = multiprocessing.Process(target=listen, args=(server.port, processes, theirs))
                child.start()
                ours.recv()
                note = figures[processes]
                note["writes/s"].append(benchmark(server, asked.writes))
                before = cpu_seconds(redis)
                paced(redis, asked.rate, 3.0)
                note["cpu us/write"].append((cpu_seconds(redis) - before) / (asked.rate * 3.0) * 1e6)
                if processes:
                    largest = max(int(client["tot-mem"]) for client in redis.client_list() if "t" in client["flags"])
                    note["kB/connection"].append(largest / 1024)
                ours.send("end")
                told = ours.recv()
                total = asked.writes + asked.rate * 3
                note["bytes/write and process"].append(told / total / processes if processes else 0.0)
                child.join()
    names = ["writes/s", "cpu us/write", "bytes/write and process", "kB/connection"]
    print(f"| processes that track | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for processes, note in sorted(figures.items()):
        cells = [
            f"{statistics.median(note[name]):,.1f} ({min(note[name]):,.1f}-{max(note[name]):,.1f})"
            if note[name]
            else ""
            for name in names
        ]
        print(f"| {processes} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
