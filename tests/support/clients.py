"""Clients in virtual time, and the kernel's queues: connections not accepted, and requests not read."""

import random
from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf

ROUND_TRIP_S = 0.0001
"""From an answer that is sent to the client's next request, and from a piece of a handshake to the next."""
OPEN_LOOP_TIMEOUT_S = 0.8


class Connection:
    """A client's keep-alive connection: requests that have come on it wait in the kernel until it is read."""

    __slots__ = ("asks_again", "is_accepted", "is_paused", "is_pooled", "timeout_s", "unread")

    def __init__(self, timeout_s: float, *, asks_again: bool = False, is_pooled: bool = False) -> None:
        self.timeout_s = timeout_s
        self.asks_again = asks_again
        self.is_pooled = is_pooled
        self.is_accepted = is_pooled
        self.is_paused = False
        self.unread: deque[float] = deque()


@dataclass
class Second:
    """What clients asked and got in one second; `late` ones are counted a second time."""

    offered: int = 0
    good: int = 0
    failed: int = 0
    expired: int = 0
    rejected: int = 0
    late: int = 0
    busy_s: float = 0.0
    longest_iteration_s: float = 0.0


class Clients:
    """All clients of one worker; instants that are passed to `add_…` count from the beginning of the run."""

    def __init__(self, began_at: float, source: random.Random) -> None:
        self.seconds: list[Second] = []
        self.readable: deque[Connection] = deque()
        self.backlog: deque[Connection] = deque()
        self._began_at = began_at
        self._random = source
        self._order = 0
        self._arrivals: list[tuple[float, int, Connection]] = []
        self._open_loop: deque[float] = deque()
        self._pool: list[Connection] = []

    def add_closed_loop(
        self, number: int, timeout_s: float, *, at: float = 0.0, over_s: float = 0.05
    ) -> None:
        """Let `number` clients connect within `over_s`, ask, and ask again at each answer."""
        for each in range(number):
            self._arrive(self._began_at + at + over_s * each / number, Connection(timeout_s, asks_again=True))

    def add_burst(self, number: int, timeout_s: float, *, at: float = 0.0, over_s: float = 0.05) -> None:
        """Let `number` new clients connect within `over_s`, and ask once."""
        for each in range(number):
            self._arrive(self._began_at + at + over_s * each / number, Connection(timeout_s))

    def add_open_loop(self, rate: float, begin: float, end: float) -> None:
        """Offer `rate` requests a second (Poisson) between two instants, on as many connections as are needed."""
        at = self._began_at + begin
        while at < self._began_at + end:
            self._open_loop.append(at)
            at += self._random.expovariate(rate)

    def second(self, at: float) -> Second:
        """Return the counts of the second in which `at` lies."""
        number = int(at - self._began_at)
        while len(self.seconds) <= number:
            self.seconds.append(Second())
        return self.seconds[number]

    def next_at(self) -> float:
        """Return the instant of the next arrival."""
        at = self._arrivals[0][0] if self._arrivals else inf
        return min(at, self._open_loop[0]) if self._open_loop else at

    def receive(self, now: float) -> None:
        """Put what has come by now into the kernel's queues."""
        while self._open_loop and self._open_loop[0] <= now:
            connection = self._pool.pop() if self._pool else Connection(OPEN_LOOP_TIMEOUT_S, is_pooled=True)
            self._receive_one(self._open_loop.popleft(), connection)
        while self._arrivals and self._arrivals[0][0] <= now:
            at, _, connection = heappop(self._arrivals)
            self._receive_one(at, connection)

    def accept(self) -> None:
        """Let the worker accept a connection, which has a request to read."""
        connection = self.backlog.popleft()
        connection.is_accepted = True
        self.readable.append(connection)

    def resume(self, connection: Connection) -> None:
        """Let the worker read a connection again that it had paused."""
        connection.is_paused = False
        if connection.unread:
            self.readable.append(connection)

    def deliver(self, connection: Connection, arrived_at: float, outcome: str, now: float) -> None:
        """Count an answer, and let the client ask again."""
        second = self.second(now)
        is_late = now > arrived_at + connection.timeout_s
        second.late += is_late
        name = "expired" if is_late and outcome == "good" else outcome
        setattr(second, name, getattr(second, name) + 1)
        if connection.unread and not connection.is_paused:
            self.readable.append(connection)
        if connection.asks_again:
            self._arrive(now + ROUND_TRIP_S, connection)
        elif connection.is_pooled:
            self._pool.append(connection)

    def _arrive(self, at: float, connection: Connection) -> None:
        self._order += 1
        heappush(self._arrivals, (at, self._order, connection))

    def _receive_one(self, at: float, connection: Connection) -> None:
        self.second(at).offered += 1
        connection.unread.append(at)
        if not connection.is_accepted:
            self.backlog.append(connection)
        elif not connection.is_paused and len(connection.unread) == 1:
            self.readable.append(connection)
