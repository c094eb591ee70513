"""How long a connection may be idle, slow, write-blocked or lingering; by a clock that the test sets."""

from math import inf

import pytest

from hedgerow.server.request_rejected import RequestRejected
from hedgerow.server.timeouts import ENDED_AT_ONCE, ConnectionTimeouts
from hedgerow.settings import ClientLimits

LIMITS = ClientLimits(head_timeout_s=5.0, idle_timeout_s=75.0, write_timeout_s=4.0, linger_s=1.0)


class Connection:
    """Keeps what was done to it."""

    def __init__(self, idle_since: float = inf, *, holds_requests: bool = False) -> None:
        self.idle_since = idle_since
        self.holds_requests = holds_requests
        self.ends: list[str] = []

    def close_idle(self) -> None:
        self.ends.append("close idle")

    def reject(self, rejected: RequestRejected) -> None:
        self.ends.append(f"reject: {rejected.detail}")

    def reset(self) -> None:
        self.ends.append("reset")

    def abort(self) -> None:
        self.ends.append("abort")


@pytest.mark.parametrize(
    ("begins", "limit_s", "end"),
    [
        (ConnectionTimeouts.head_started, LIMITS.head_timeout_s, "reject: no whole request head within 5 s"),
        (ConnectionTimeouts.write_blocked, LIMITS.write_timeout_s, "reset"),
        (ConnectionTimeouts.lingering, LIMITS.linger_s, "abort"),
    ],
)
def test_each_ends_at_its_limit_once_and_not_before(begins: object, limit_s: float, end: str) -> None:
    timeouts, connection = ConnectionTimeouts(LIMITS), Connection()
    begins(timeouts, connection, 100.0)  # type: ignore[operator]
    timeouts.reap({connection}, 100.0 + limit_s - 0.001)
    assert connection.ends == []
    for _ in range(2):
        timeouts.reap({connection}, 100.0 + limit_s)
    assert connection.ends == [end]


def test_an_idle_connection_is_closed_at_its_limit() -> None:
    timeouts, connection = ConnectionTimeouts(LIMITS), Connection(idle_since=100.0)
    timeouts.reap({connection}, 174.999)
    assert connection.ends == []
    timeouts.reap({connection}, 175.0)
    assert connection.ends == ["close idle"]


def test_where_descriptors_run_short_it_is_closed_soon() -> None:
    timeouts, connection = ConnectionTimeouts(LIMITS), Connection(idle_since=100.0)
    timeouts.reap({connection}, 101.999, crowded=True)
    assert connection.ends == []
    timeouts.reap({connection}, 102.0, crowded=True)
    assert connection.ends == ["close idle"]


def test_one_with_a_request_under_way_is_not_idle() -> None:
    connection = Connection(idle_since=inf)
    ConnectionTimeouts(LIMITS).reap({connection}, 1e9)
    assert connection.ends == []


@pytest.mark.parametrize("draining", [False, True])
def test_one_that_holds_requests_is_not_idle(draining: bool) -> None:
    """They wait until its answers are read, or are held after a 503."""
    holding = [Connection(idle_since=100.0, holds_requests=True) for _ in range(ENDED_AT_ONCE)]
    idle = Connection(idle_since=100.0)
    assert not ConnectionTimeouts(LIMITS).reap({*holding, idle}, 175.0, draining=draining)
    assert idle.ends == ["close idle"], "it does not wait for them"
    assert [one.ends for one in holding] == [[]] * ENDED_AT_ONCE


def test_one_with_a_part_of_a_head_has_the_time_of_the_head() -> None:
    """It began at the end of the idle time: closing it would lose a request that was on its way."""
    timeouts, connection = ConnectionTimeouts(LIMITS), Connection(idle_since=100.0)
    timeouts.head_started(connection, 174.0)
    timeouts.reap({connection}, 178.0)
    assert connection.ends == []
    timeouts.reap({connection}, 179.0)
    assert connection.ends == ["reject: no whole request head within 5 s"]


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (ConnectionTimeouts.head_started, ConnectionTimeouts.head_finished),
        (ConnectionTimeouts.write_blocked, ConnectionTimeouts.write_unblocked),
        (ConnectionTimeouts.head_started, ConnectionTimeouts.forget),
        (ConnectionTimeouts.write_blocked, ConnectionTimeouts.forget),
        (ConnectionTimeouts.lingering, ConnectionTimeouts.forget),
    ],
)
def test_what_has_ended_in_time_is_left_alone(begins: object, ends: object) -> None:
    timeouts, connection = ConnectionTimeouts(LIMITS), Connection()
    begins(timeouts, connection, 100.0)  # type: ignore[operator]
    ends(timeouts, connection)  # type: ignore[operator]
    timeouts.reap({connection}, 1e9)
    assert connection.ends == []


@pytest.mark.parametrize(
    "begins",
    [ConnectionTimeouts.head_started, ConnectionTimeouts.write_blocked, ConnectionTimeouts.lingering, None],
)
def test_thousands_that_are_overdue_together_are_ended_a_few_at_a_time(begins: object) -> None:
    timeouts = ConnectionTimeouts(LIMITS)
    connections = {Connection(idle_since=inf if begins else 100.0) for _ in range(2 * ENDED_AT_ONCE + 1)}
    for connection in connections:
        if begins:
            begins(timeouts, connection, 100.0)  # type: ignore[operator]
    ended = []
    for more in (True, True, False):
        assert timeouts.reap(connections, 175.0) is more
        ended.append(sum(len(connection.ends) for connection in connections))
        connections = {connection for connection in connections if not connection.ends}
    assert ended == [ENDED_AT_ONCE, ENDED_AT_ONCE, 1]
    assert not connections


def test_in_a_drain_who_is_idle_is_closed_at_once_also_with_a_part_of_a_head() -> None:
    timeouts, connection = ConnectionTimeouts(LIMITS), Connection(idle_since=100.0)
    timeouts.head_started(connection, 100.0)
    timeouts.reap({connection}, 100.0, draining=False)
    assert connection.ends == []
    timeouts.reap({connection}, 100.0, draining=True)
    assert connection.ends == ["close idle"]
