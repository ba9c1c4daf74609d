"""The scenarios, in the order in which they run and are reported."""

from __future__ import annotations

from benchmarks.scenarios import (
    blocking,
    events,
    faults,
    floors,
    growth,
    l1,
    l2,
    memory,
    miss,
    race,
    stall,
    stampede,
    startup,
)

ALL = {
    module.SCENARIO.name: module.SCENARIO
    for module in (race, faults, stampede, l1, l2, blocking, miss, events, memory, startup, stall, floors, growth)
}
