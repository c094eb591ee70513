import asyncio
from dataclasses import dataclass, field

import pytest

from hedgerow_simulator import connection_registry
from hedgerow_simulator.connection_registry import ConnectionRegistry
from hedgerow_simulator.limits import IDLE_TIMEOUT_S, MAX_RESPONSE_S


@dataclass(eq=False)
class Member:
    since: float
    is_busy: bool = False
    aborted: bool = field(default=False, init=False)

    def abort(self) -> None:
        self.aborted = True


def test_idle_connections_are_kept_for_75_seconds_at_least() -> None:
    assert IDLE_TIMEOUT_S >= 75


async def test_only_those_past_their_limit_are_cut_off() -> None:
    now = asyncio.get_running_loop().time()
    connections = ConnectionRegistry()
    idle, idle_too_long = Member(now - IDLE_TIMEOUT_S + 10), Member(now - IDLE_TIMEOUT_S - 1)
    busy, busy_too_long = Member(now - MAX_RESPONSE_S + 10, True), Member(now - MAX_RESPONSE_S - 1, True)
    for member in (idle, idle_too_long, busy, busy_too_long):
        connections.add(member)
    connections._reap()
    assert [member.aborted for member in (idle, idle_too_long, busy, busy_too_long)] == [
        False,
        True,
        False,
        True,
    ]
    connections.close()
    assert idle.aborted
    assert busy.aborted


async def test_one_too_many_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_registry, "MAX_CONNECTIONS", 2)
    connections = ConnectionRegistry()
    members = [Member(0.0) for _ in range(3)]
    for member in members:
        connections.add(member)
    assert [member.aborted for member in members] == [False, False, True]


async def test_one_that_comes_after_the_end_is_cut_off() -> None:
    connections = ConnectionRegistry()
    connections.close()
    late = Member(0.0)
    connections.add(late)
    assert late.aborted
    assert not connections.all_gone
    connections.discard(late)
    assert connections.all_gone


async def test_sweeping_goes_on_until_the_end() -> None:
    connections = ConnectionRegistry()
    connections.start_reaping()
    first = connections._timer
    connections._reap()
    second = connections._timer
    assert first is not second
    connections.close()
    assert second is not None
    assert second.cancelled()
