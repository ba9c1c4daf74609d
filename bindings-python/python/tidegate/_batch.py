"""The bookkeeping of one `get_many`, for both managers.

Nobody waits while the batch holds a lease that it has not filled: first come the keys that are there or leased, then
`fetch_missing` runs once for all that are leased, and only when those are filled the batch waits for the keys that
others are computing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._base import ManagerBase
from ._errors import ConfigError
from ._outcomes import failure, raise_failed, shared
from ._tidegate import NOTHING, Busy, Failed, Lease, Served, Shared
from ._types import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._codec import Coder
    from ._tidegate import Terms

# A key whose other holder failed is begun again so many times before its error is raised.
_TRIES = 2


class Part:
    """What one call of `fetch_missing` is for. Settled whole, by whoever asked for it."""

    def __init__(self, leases: dict[str, Lease], alone: list[str]) -> None:
        self.leases = leases
        self.alone = alone
        """Fetched, and stored nowhere."""
        self.keys = [*leases, *alone]

    def fail(self, error: BaseException) -> list[Any]:
        """`fetch_missing` failed: so have the keys. What is served instead, by lease; `MISSING` where nothing is."""
        hits = [lease.fail(failure(error)) for lease in self.leases.values()]
        return [MISSING if hit is None else hit for hit in hits]

    def give_back(self) -> None:
        """The caller went away."""
        for lease in self.leases.values():
            lease.give_back()


class Batch:
    """What is known of the keys so far."""

    def __init__(self, manager: ManagerBase, keys: Iterable[str], coder: Coder) -> None:
        self.keys = list(dict.fromkeys(keys))
        self.results: dict[str, Any] = {}
        self.leases: dict[str, Lease] = {}
        self.busy: list[str] = []
        """Others compute these."""
        self.unreadable: list[str] = []
        """Their entries cannot be decoded: to be computed anew."""
        self._behind: dict[str, Served] = {}
        self._manager = manager
        self.coder = coder
        self._failed: dict[str, int] = {}
        self.nested = [key for key in self.keys if manager._leads(key)]
        """This call comes from inside the fallback of these: nobody waits for oneself."""
        for key in self.nested:
            manager._report_nested(key)
        self._alone = self.nested

    def take_held(self, terms: Terms | None) -> list[str]:
        """Takes what L1 holds; the keys that have to be asked for."""
        asked = [key for key in self.keys if key not in self.nested]
        held = self._manager._held
        if held is None:
            return asked
        for key in asked:
            value = held(key, terms, self.coder, held)
            if value is not NOTHING:
                self.results[key] = value
        return [key for key in asked if key not in self.results]

    def take_all(self, keys: list[str], outcomes: list[Any]) -> None:
        """Sorts the outcomes of many keys; none of their leases is lost when one of them raises."""
        self.leases.update(
            (key, outcome) for key, outcome in zip(keys, outcomes, strict=True) if outcome.__class__ is Lease
        )
        for key, outcome in zip(keys, outcomes, strict=True):
            self.take(key, outcome)

    def take(self, key: str, outcome: Any) -> None:
        """Sorts the outcome of one key."""
        kind = type(outcome)
        if kind is Lease:
            self.leases[key] = outcome
        elif kind is Busy:
            self.busy.append(key)
        elif kind is Shared:
            self.results[key] = shared(outcome)
        elif kind is Served:
            self._take_held(key, outcome.value, outcome)
        elif kind is Failed:
            if self._is_last_try(key):
                raise_failed(outcome)
            self.busy.append(key)
        else:
            self._take_held(key, outcome, None)

    def _take_held(self, key: str, held: Any, served: Served | None) -> None:
        try:
            self.results[key] = self.coder.value(held)
        except Exception as error:
            self._manager._undecodable(key, error)
            if served is not None:
                served.leave()
            if self._is_last_try(key):
                raise
            self.unreadable.append(key)
        else:
            if served is not None:
                self._behind[key] = served

    def to_renew(self) -> dict[str, Served]:
        """Takes out the keys that have been served and are to be computed behind."""
        behind, self._behind = self._behind, {}
        return behind

    def renews(self, outcomes: dict[str, Any]) -> bool:
        """Takes the leases of keys that have been served, and nothing else; whether there are any."""
        self.leases.update((key, outcome) for key, outcome in outcomes.items() if outcome.__class__ is Lease)
        return bool(self.leases)

    def serve(self, part: Part, stale: list[Any]) -> bool:
        """Takes stale values instead of what `fetch_missing` gives; False when they are not all there, and readable."""
        if part.alone or MISSING in stale:
            return False
        values = {
            key: self._manager._decoded(key, held, self.coder) for key, held in zip(part.leases, stale, strict=True)
        }
        if any(value is MISSING for value in values.values()):
            return False
        self.results.update(values)
        return True

    def missing(self) -> Part:
        """Takes out what `fetch_missing` is to be called for at this moment."""
        part = Part(self.leases, self._alone)
        self.leases, self._alone = {}, []
        return part

    def _is_last_try(self, key: str) -> bool:
        self._failed[key] = self._failed.get(key, 0) + 1
        return self._failed[key] >= _TRIES

    def uncached(self, found: Any) -> dict[str, Any]:
        """The results of a `fetch_missing` that was called for all keys, with nothing stored."""
        found = _mapping(found)
        return {key: self._manager._same(key, found.get(key), self.coder) for key in self.keys}

    def fill(self, part: Part, found: Any) -> list[Any]:
        """Fills every lease with what `fetch_missing` gave, a key that it left out as null; what to wait for."""
        found = _mapping(found)
        self.results.update((key, self._manager._same(key, found.get(key), self.coder)) for key in part.alone)
        outcomes = []
        for key, lease in part.leases.items():
            value, outcome = self._manager._fill(lease, key, found.get(key), self.coder, None)
            self.results[key] = value
            outcomes.append(outcome)
        return outcomes

    def give_back(self) -> None:
        """The caller went away."""
        for lease in self.leases.values():
            lease.give_back()
        self.leases.clear()
        for served in self.to_renew().values():
            served.leave()

    def in_order(self) -> dict[str, Any]:
        """The results, in the order of the keys."""
        return {key: self.results[key] for key in self.keys}


def _mapping(found: Any) -> Mapping[str, Any]:
    if isinstance(found, Mapping):
        return found
    raise ConfigError(
        f"fetch_missing gave a {type(found).__qualname__}; it takes a list of keys and gives a dict: {{key: value}}"
    )
