"""Domain events across languages: what one publishes, the other handles and invalidates, for everybody."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.interop.member_process import PATIENCE_SECONDS
from tests.interop.pair import Pair

EVENT = "user.updated"
KEY = "user:profile:1"


def _soon(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_what_one_language_publishes_the_other_invalidates(pair: Pair) -> None:
    publisher, handler = pair.open()
    assert handler.ask("on_event", event=EVENT) is True
    publisher.ask("set", key=KEY, value="old")
    assert handler.ask("get", key=KEY, gives="unused") == {"value": "old", "ran": False}
    publisher.ask("publish_event", event=EVENT, data={"id": 2**60, "text": "ä", "keys": [KEY]})
    handler.enters(EVENT)
    assert _soon(lambda: publisher.ask("exists", key=KEY) is False)
    assert list(handler.ask("told")["handled"]) == [str(2**60)]


def test_two_languages_are_one_service_and_each_event_is_handled_once(pair: Pair) -> None:
    members = pair.open()
    for member in members:
        assert member.ask("on_event", event=EVENT) is True
    for number, member in enumerate(members):
        member.ask("publish_many", event=EVENT, first=number * 200, count=200, key="user:row")

    def handled() -> list[dict[str, Any]]:
        return [member.ask("told")["handled"] for member in members]

    assert _soon(lambda: sum(map(len, handled())) >= 400)
    first, other = handled()
    assert not set(first) & set(other)
    assert sorted(map(int, [*first, *other])) == list(range(400))


def test_what_a_killed_process_held_is_handled_by_the_other_language(pair: Pair) -> None:
    killed, survivor = pair.open()
    assert killed.ask("on_event", event=EVENT, redeliver_after="1s") is True
    survivor.ask("set", key=KEY, value="old")
    survivor.ask("publish_event", event=EVENT, data={"id": 1, "holds": True, "keys": [KEY]})
    killed.enters(EVENT)
    assert survivor.ask("on_event", event=EVENT, redeliver_after="1s") is True
    killed.kill()
    survivor.enters(EVENT)
    assert survivor.ask("told")["handled"]["1"][1] == 2
    assert _soon(lambda: survivor.ask("exists", key=KEY) is False)
