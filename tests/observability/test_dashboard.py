"""The Grafana dashboard: what its script writes, and what Grafana's own model of a dashboard keeps whole."""

from __future__ import annotations

import json
import warnings
from itertools import combinations
from typing import Any

from docs.observability.grafana import make

DASHBOARD = json.loads(make.PAGE.read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def test_the_file_is_what_the_script_writes() -> None:
    assert make.PAGE.read_text() == make.text()


def test_grafana_knows_all_that_the_file_says() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it recommends the next format, which older Grafanas do not import
        from grafana_foundation_sdk.cog import plugins
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
        from grafana_foundation_sdk.models.dashboard import Dashboard

        plugins.register_default_plugins()
        known = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    assert list(_lost(DASHBOARD, known, "dashboard")) == []
    misspelt = json.loads(make.text().replace('"thresholdsStyle"', '"thresholdStyle"'))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = json.loads(JSONEncoder().encode(Dashboard.from_json(misspelt)))
    assert list(_lost(misspelt, known, "dashboard")) != []


def _lost(said: Any, known: Any, place: str) -> Any:
    """What does not come back as it was."""
    if isinstance(said, dict):
        for name, value in said.items():
            if not isinstance(known, dict) or name not in known:
                yield f"{place}.{name}"
            else:
                yield from _lost(value, known[name], f"{place}.{name}")
    elif isinstance(said, list) and isinstance(known, list) and len(said) == len(known):
        for number, (one, other) in enumerate(zip(said, known, strict=True)):
            yield from _lost(one, other, f"{place}[{number}]")
    elif said != known:
        yield f"{place}: {said} became {known}"


def test_each_panel_has_a_title_a_description_a_unit_and_queries() -> None:
    assert len(PANELS) > 30
    for panel in PANELS:
        assert panel["title"], panel
        assert len(panel["description"]) > 10, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"], panel["title"]
        assert panel["targets"], panel["title"]
        assert all(target["expr"] and target["legendFormat"] for target in panel["targets"]), panel["title"]
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_panels_fill_their_rows_and_none_lies_on_another() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
    for y in {place["y"] for place in places}:
        assert sum(place["w"] for place in places if place["y"] == y) == make.WIDTH


def test_every_query_asks_for_the_services_and_roles_that_are_chosen() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            selectors = target["expr"].count("tidegate_")
            assert selectors == target["expr"].count('service=~"$service",role=~"$role"'), target["expr"]
