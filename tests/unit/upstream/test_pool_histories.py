"""The pool under random histories: whatever happens in whatever order, its laws hold.

Each attempt finishes once. No event is an internal error. No bound is exceeded, and nothing is left at the end.
"""

import sys
from collections import Counter
from random import Random

import pytest

from hedgerow.core.outcomes import Attempt, Failure, Success
from hedgerow.settings import LoserPolicy, UpstreamLimits
from hedgerow.settings.routes import OutlierDetection
from hedgerow.upstream.connecting import Connecting
from support.upstream_bench import GRACE_S, OK, Peer, UpstreamBench

STEPS = 300
ANSWERS = [
    OK,
    OK,
    OK,
    OK[:20],
    OK + b"x",
    OK + OK,
    b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n{",
    b"HTTP/1.1 101 X\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"garbage\r\n\r\n",
    OK.replace(b"\r\nContent-Length", b"\r\nConnection: close\r\nContent-Length"),
]
UNCLOSED = "ignore:unclosed <ssl.SSLSocket:ResourceWarning" if sys.version_info < (3, 13) else "error"
"""Before Python 3.13 `ssl` leaves a socket that was reset before its handshake to be closed as it is freed: at once."""
LIMITS = UpstreamLimits(idle_timeout_s=3.0, max_connection_age_s=10.0, connect_timeout_s=2.0)


class History:
    """One pool, and all that was done to it."""

    def __init__(self, seed: int, *, is_tls: bool) -> None:
        self.random = random = Random(seed)
        self.bench = UpstreamBench(
            addresses=random.choice([1, 2, 2] if is_tls else [1, 1, 3]),
            max_connections=random.choice([2, 6, 100]),
            hedges=random.choice([0, 1, 2]),
            losers=random.choice([LoserPolicy.DRAIN, LoserPolicy.DRAIN, LoserPolicy.CANCEL]),
            limits=LIMITS,
            lb_policy=random.choice(["least_request", "round_robin"]),
            outlier_detection=random.choice([None, OutlierDetection(consecutive_failures=3)]),
            tls=is_tls,
        )
        self.moved = False
        """Where addresses go, those that are ejected may be more of what is left."""
        self.running: list[Attempt] = []
        self.sent: list[Attempt] = []
        self.peers: list[Peer] = []
        self.held: list[Connecting] = []
        self.steps = [
            *[self.send] * 6,
            *[self.answer] * 8,
            *[self.abandon] * 3,
            *[self.iterate] * 6,
            *[self.shake] * (6 if is_tls else 0),
            *[self.go_on] * (2 if is_tls else 1),
            self.close_one,
            self.reset_one,
            self.pass_time,
            self.move,
            self.let_go,
        ]

    def send(self) -> None:
        if self.sent and self.random.random() < 0.5:
            request = self.random.choice(self.sent[-5:]).request
            number = self.random.choice([2, 3])
        else:
            request, number = self.bench.request(), 1
        attempt = self.bench.send(number, request)
        self.sent.append(attempt)
        self.running.append(attempt)

    def accept_all(self) -> None:
        for address in self.bench.waiting_connections():
            peer = self.bench.accept(address)
            self.peers.append(peer)

    def answer(self) -> None:
        self.accept_all()
        if self.peers:
            peer = self.random.choice(self.peers)
            try:
                if peer.shake():
                    peer.answer(self.random.choice(ANSWERS))
            except OSError:  # the gateway has closed it
                self.forget(peer)

    def shake(self) -> None:
        """Go on with most handshakes."""
        self.accept_all()
        for peer in tuple(self.peers):
            try:
                if self.random.random() < 0.8:
                    peer.shake()
            except OSError:
                self.forget(peer)

    def forget(self, peer: Peer) -> None:
        self.peers.remove(peer)
        peer.close()

    def close_one(self) -> None:
        if self.peers:
            self.forget(self.random.choice(self.peers))

    def reset_one(self) -> None:
        if self.peers:
            peer = self.random.choice(self.peers)
            self.peers.remove(peer)
            peer.reset()

    def abandon(self) -> None:
        running = [attempt for attempt in self.running if attempt.outcome is None and not attempt.is_loser]
        if running:
            self.bench.abandon(self.random.choice(running))

    def pass_time(self) -> None:
        self.bench.pass_time(self.random.choice([0.01, 0.06, GRACE_S, 4.0, 31.0]))

    def go_on(self) -> None:
        """Have the newest connects go on to their next addresses: those that they try do not answer for now."""
        for attempt in self.sent[-3:]:
            for connection in self.bench.pool.connections:
                if connection.attempt is attempt and connection.connecting is not None:
                    self.held.append(connection.connecting)
                    self.bench.hold(connection.connecting)
        self.bench.pass_time(LIMITS.happy_eyeballs_delay_s + 0.01)

    def let_go(self) -> None:
        """Have those that were held go on."""
        for connecting in self.held:
            self.bench.let_go(connecting)
        self.held.clear()

    def move(self) -> None:
        """Have the upstream's name lead to some of its addresses only, from the next lookup on."""
        number = len(self.bench.listeners)
        kept = self.random.sample(range(number), self.random.randint(1, number))
        self.bench.names.found = [self.bench.address(address) for address in kept]
        self.moved = True

    def iterate(self) -> None:
        self.bench.iterate()

    def check(self) -> None:
        bench = self.bench
        assert bench.internal_errors == []
        assert len(bench.pool.connections) <= bench.budget.max_connections
        finished = [attempt for attempt in self.sent if attempt.outcome is not None]
        assert len(bench.facts.finished) == len(finished), "each that has finished was reported once"
        assert set(map(id, bench.facts.finished)) == set(map(id, finished))
        carried = [connection.attempt for connection in bench.pool.connections if connection.attempt]
        unfinished = {id(attempt) for attempt in self.sent if attempt.outcome is None}
        assert {id(attempt) for attempt in carried} == unfinished, (
            "each that runs has a connection of its own"
        )
        assert len(carried) == len(unfinished)
        self.check_endpoints()
        losers = [attempt for attempt in carried if attempt.is_loser]
        assert bench.pool.connection_counts()["loser"] == len(losers)

    def check_endpoints(self) -> None:
        """Each endpoint knows how many attempts it has, also one that the name has lost meanwhile."""
        pool = self.bench.pool
        carried = Counter(connection.endpoint for connection in pool.connections if connection.attempt)
        known = {*pool.endpoints.all, *pool.idle.endpoints, *(endpoint for endpoint in carried if endpoint)}
        assert {endpoint: endpoint.in_flight for endpoint in known if endpoint.in_flight} == {
            endpoint: number for endpoint, number in carried.items() if endpoint is not None
        }
        assert self.bench.budget.in_use == len(pool.connections)
        now = self.bench.now
        ejected = sum(endpoint.ejected_until > now for endpoint in pool.endpoints.all)
        assert self.moved or ejected <= max(1, len(pool.endpoints.all) // 2)

    def end(self) -> None:
        """Let all end by itself: what was abandoned has its grace, what was closed is noticed."""
        for attempt in self.running:
            if attempt.outcome is None and not attempt.is_loser:
                self.bench.abandon(attempt)
        self.bench.pass_time(GRACE_S + 0.01)
        self.bench.pass_time(GRACE_S + 0.01)
        self.check()
        assert all(attempt.outcome is not None for attempt in self.sent)
        for peer in self.peers:
            peer.close()
        self.bench.close()


@pytest.mark.filterwarnings(UNCLOSED)
@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_the_laws_hold_under_any_history(seed: int, is_tls: bool) -> None:
    history = History(seed, is_tls=is_tls)
    for _ in range(STEPS):
        history.random.choice(history.steps)()
        history.check()
    history.end()
    outcomes = {type(attempt.outcome) for attempt in history.sent}
    assert outcomes == {Success, Failure}, "a history in which all is well, or nothing, tests little"
