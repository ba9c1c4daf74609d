"""The documents are true: what they list is what there is, in both directions. (That their code runs: test_blocks.)"""

from __future__ import annotations

import dataclasses
import re
import types
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import tidegate
import tidegate.sync
from tidegate import _tidegate
from tidegate._events import KINDS

ROOT = Path(__file__).parents[2]


def test_the_errors_of_the_page_are_the_errors_there_are() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    listed = dict(re.findall(r"\| `(\w+)` \| `(ERR_\w+)` \|", page))
    kinds = [
        kind for kind in vars(tidegate).values() if isinstance(kind, type) and issubclass(kind, tidegate.TidegateError)
    ]
    assert listed == {kind.__name__: kind.code for kind in kinds if kind is not tidegate.TidegateError}


def test_the_figures_of_the_page_are_the_figures_there_are() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    listed = set(re.findall(r"`(\w+)`", page[page.index("`stats()` gives") :])) - {"closed", "open", "half_open"}
    assert listed == set(tidegate.CacheManager().stats())


def test_the_events_of_the_page_are_the_events_there_are() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    assert set(re.findall(r"^\| `(cache\.\w+)`", page, re.MULTILINE)) == set(_tidegate.EVENT_TYPES)
    fields = page[page.index("Each event has") : page.index("The names are")]
    listed = set(re.findall(r"`(\w+)`", fields)) - {"l1", "memory", "redis", "flight"}
    assert listed == {field.name for field in dataclasses.fields(tidegate.HealthEvent)}


def test_the_fields_of_each_event_on_the_page_are_the_fields_of_its_class() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    rows = re.findall(r"^\| `(cache\.\w+)` \|.*\| ([^|]+) \|$", page, re.MULTILINE)
    assert [name for name, _ in rows] == _tidegate.EVENT_TYPES
    for name, cell in rows:
        hints = get_type_hints(KINDS[name])
        always = {field for field, hint in hints.items() if not _has_none(hint)} - {"type", "timestamp", "service"}
        sometimes = {field for field, hint in hints.items() if hint is not types.NoneType and _has_none(hint)}
        listed = [set(re.findall(r"`(\w+)`", part)) for part in cell.split(";")]
        assert listed == [always, sometimes], name


def _has_none(hint: Any) -> bool:
    return hint is types.NoneType or types.NoneType in get_args(hint)


def test_the_reasons_of_faults_on_the_page_are_the_reasons_of_the_types() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    text, table = page[page.index("Its reasons:") :].split("| reason |")
    first_cells = [line.split("|")[1] for line in table.split("\n\n")[0].splitlines()[2:]]
    listed = set(re.findall(r"`(\w+)`", re.sub("`(?:get|persist|close)`", "", text) + "".join(first_cells)))
    assert listed == set(get_args(tidegate.FaultReason))
    source = (ROOT / "bindings-node" / "js" / "event-types.ts").read_text()
    union = source[source.index("export type FaultReason") :].partition(";")[0]
    assert set(re.findall(r"'(\w+)'", union)) == listed


def test_the_options_of_a_queue_are_the_options_there_are() -> None:
    page = (ROOT / "docs" / "write-behind.md").read_text()
    listed = re.findall(r"^\| `(\w+)`", page[page.index("## Options") : page.index("## What it costs")], re.MULTILINE)
    assert set(listed) == set(tidegate.BehindOptions.__annotations__)
    with pytest.raises(tidegate.ConfigError) as caught:
        tidegate.sync.CacheManager().write_behind("counters", None, zzzzzz=1)  # type: ignore[call-arg]
    assert str(caught.value).rsplit("the options are ", 1)[-1].split(", ") == listed


def test_the_options_of_the_page_are_the_options_there_are() -> None:
    page = (ROOT / "docs" / "options.md").read_text()
    listed = set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))
    assert listed == set(tidegate.Options.__annotations__)
    with pytest.raises(tidegate.ConfigError) as caught:
        tidegate.CacheManager(zzzzzz=1)  # type: ignore[call-arg]
    known = set(str(caught.value).rsplit("the options are ", 1)[-1].split(", "))
    assert listed == known
