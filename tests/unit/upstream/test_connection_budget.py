"""Which connection makes way; through whole pools: test_pool.py."""

from typing import Any

import pytest

from hedgerow.upstream.connection_budget import ConnectionBudget


class FakeConnection:
    def __init__(self, name: str, idle_since: float, closed: list[str]) -> None:
        self.idle_since = idle_since
        self._name = name
        self._closed = closed

    def close(self) -> None:
        self._closed.append(self._name)


class FakePool:
    """A pool as the budget sees it: one idle connection, losers and handshakes, or none of them."""

    def __init__(
        self,
        name: str,
        closed: list[str],
        *,
        idle_since: float | None = None,
        loser_since: float = float("inf"),
        handshake: bool = False,
    ) -> None:
        self.idle = self.losers = self
        self.oldest_since = loser_since
        self._name = name
        self._closed = closed
        self._idle = None if idle_since is None else FakeConnection(f"{name} idle", idle_since, closed)
        self._handshake = handshake

    def oldest(self) -> FakeConnection | None:
        return self._idle

    def evict_loser(self) -> bool:
        self._closed.append(f"{self._name} loser")
        return True

    def evict_handshake(self) -> bool:
        if self._handshake:
            self._closed.append(f"{self._name} handshake")
        return self._handshake


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"idle_since": 2.0}, {"idle_since": 1.0, "loser_since": 0.0}, ["b idle"]),
        ({"loser_since": 1.0}, {"idle_since": 5.0}, ["b idle"]),
        ({"loser_since": 1.0}, {"loser_since": 2.0}, ["a loser"]),
        ({"handshake": True}, {"loser_since": 2.0}, ["b loser"]),
        ({}, {"handshake": True}, ["b handshake"]),
        ({}, {}, []),
    ],
)
def test_m14_what_is_missed_least_makes_way(
    one: dict[str, Any], other: dict[str, Any], expected: list[str]
) -> None:
    closed: list[str] = []
    budget = ConnectionBudget(2)
    for name, has in (("a", one), ("b", other)):
        pool: Any = FakePool(name, closed, **has)
        budget.add_pool(pool)
    assert budget.make_room() is bool(expected)
    assert closed == expected


def test_it_is_full_with_as_many_as_there_may_be() -> None:
    budget = ConnectionBudget(2)
    budget.in_use = 1
    assert not budget.is_full
    budget.in_use = 2
    assert budget.is_full
