"""The pool: which connection an attempt gets, what becomes of losers, and that its bounds hold.

On real sockets of this machine, with a clock that stands still unless the test sets it.
"""

from collections.abc import Callable

import pytest

from hedgerow.core.outcomes import Attempt, Failure, FailureReason, Success
from hedgerow.settings import LoserPolicy, UpstreamLimits
from hedgerow.upstream.connection import ACTIVE, IDLE
from hedgerow.upstream.idle_connections import CLOSED_AT_ONCE, PROVEN_FOR_S, REAP_AGAIN_S, REAP_INTERVAL_S
from support.routes import passed_on_request
from support.upstream_bench import GRACE_S, BrokenSpan, MakeBench, Peer, UpstreamBench

MARGIN_S = 0.002
"""More than a tick of the deadlines."""


def reason(attempt: Attempt) -> FailureReason:
    assert isinstance(attempt.outcome, Failure)
    return attempt.outcome.reason


# -- connections are used again


def test_an_attempt_connects_and_the_next_one_uses_the_connection_again(bench: UpstreamBench) -> None:
    attempt = bench.send()
    assert bench.counts == {"connecting": 1}
    peer = bench.accept()
    assert peer.request() == 1
    assert bench.counts == {"active": 1}
    peer.answer()
    assert bench.settled(attempt) == Success(b'{"time":1}')
    assert bench.counts == {"idle": 1}
    bench.exchange(peer)
    assert bench.waiting_connections() == []
    assert [attempt.number for attempt in bench.facts.finished] == [1, 1]


def test_the_request_says_what_it_is(bench: UpstreamBench) -> None:
    bench.send()
    peer = bench.accept()
    bench.until(lambda: peer._receive() or b"\r\n\r\n" in peer.received)
    assert peer.received == (
        b"GET /work HTTP/1.1\r\nHost: upstream.example\r\nUser-Agent: hedgerow/test\r\n"
        b"Accept: application/json\r\nAccept-Encoding: identity\r\nX-Request-Id: r\r\nHedgerow-Attempt: 1\r\n\r\n"
    )


def test_the_connection_that_was_used_last_is_taken_first(bench: UpstreamBench) -> None:
    first, second = bench.idle_connections(2)
    bench.exchange(second)
    bench.exchange(second)
    assert bench.counts == {"idle": 2}
    assert not first.is_left


@pytest.mark.parametrize("number", [1, 2])
def test_a_connection_from_which_something_is_unread_stays_pooled(bench: UpstreamBench, number: int) -> None:
    """It may be the end, or bytes that were not asked for, which would be taken for the answer."""
    older, newer = bench.idle_connections(2)
    connection = bench.endpoint(0).idle[-1]
    bench.loop.unread = {connection.fd}
    request = bench.request()
    bench.send(number, request)
    assert connection.state == IDLE
    assert older.request() == number
    assert bench.counts == {"active": 1, "idle": 1}
    bench.loop.unread = set()
    bench.send(number, request)
    assert newer.request() == number


def test_a_connection_that_was_idle_for_too_long_is_closed(bench: UpstreamBench) -> None:
    first, second = bench.idle_connections(2)
    bench.pass_time(bench.limits.idle_timeout_s - 1)
    bench.exchange(second)
    bench.pass_time(1 + REAP_INTERVAL_S + MARGIN_S)
    bench.until(lambda: first.is_left)
    assert bench.counts == {"idle": 1}
    bench.exchange(second)


def test_thousands_that_were_idle_for_too_long_together_are_closed_a_few_at_a_time() -> None:
    number = CLOSED_AT_ONCE + 10
    bench = UpstreamBench(max_connections=number)
    for attempt, peer in [(bench.send(), bench.accept()) for _ in range(number)]:
        bench.exchange(peer, attempt)
    bench.now += bench.limits.idle_timeout_s + 1
    bench.iterate()
    assert bench.counts == {"idle": 10}
    bench.now += REAP_AGAIN_S
    bench.iterate()
    assert bench.counts == {}
    bench.close()


def test_m18_unasked_bytes_close_an_idle_connection(bench: UpstreamBench) -> None:
    (peer,) = bench.idle_connections(1)
    peer.answer(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"time":666}')
    bench.until(lambda: peer.is_left)
    assert bench.counts == {}
    bench.exchange()


def test_a_connection_that_the_upstream_closes_while_idle_is_forgotten(bench: UpstreamBench) -> None:
    (peer,) = bench.idle_connections(1)
    peer.close()
    bench.until(lambda: bench.counts == {})
    assert bench.facts.retries == 0


def test_an_answer_that_ends_its_connection_in_the_same_iteration(bench: UpstreamBench) -> None:
    attempt = bench.send()
    peer = bench.accept()
    peer.request()
    peer.answer()
    peer.close()
    assert isinstance(bench.settled(attempt), Success)
    second = bench.send()  # may get the connection whose end was not read yet
    bench.exchange(attempt=second)
    assert bench.facts.retries <= 1


# -- internal errors (B12)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("errors", [1, 2])
def test_b12_an_internal_error_as_a_new_connection_is_taken_over_costs_this_one(
    make_bench: MakeBench, *, tls: bool, errors: int
) -> None:
    """It stayed, with its attempt, and later unregistered the descriptor of another that had its number."""
    bench = make_bench(tls=tls)
    attempt = bench.send()
    opening = bench.connecting(attempt)
    bench.hold(opening)
    broken = bench.accept()
    other = bench.send()
    peer = bench.accept()
    bench.until(lambda: peer.shake() and "active" in bench.counts)
    attempt.span = BrokenSpan()
    bench.facts.fails = errors == 2
    bench.let_go(opening)
    bench.until(lambda: broken.shake() and attempt.outcome is not None)
    assert attempt.outcome == Failure(FailureReason.RESET, "an internal error")
    assert [type(error) for error in bench.internal_errors] == [ZeroDivisionError] * errors
    bench.internal_errors.clear()
    assert (bench.counts, bench.budget.in_use, bench.endpoint(0).in_flight) == ({"active": 1}, 1, 1)
    assert len(bench.loop._sources) == 1
    bench.exchange(peer, other)


def test_b12_an_internal_error_as_an_attempt_is_sent_on_a_pooled_connection_costs_this_one(
    bench: UpstreamBench,
) -> None:
    """The connection stayed active, and its end took an attempt off that the route had never counted."""
    peer, broken = bench.idle_connections(2)
    with pytest.raises(ZeroDivisionError):
        bench.send(span=BrokenSpan())
    bench.until(lambda: broken.is_left)
    assert len(bench.facts.finished) == 2, "the attempt was never sent"
    assert (bench.counts, bench.budget.in_use, bench.endpoint(0).in_flight) == ({"idle": 1}, 1, 0)
    bench.exchange(peer)


# -- stale pooled connections


@pytest.mark.parametrize("how", [Peer.close, Peer.reset])
def test_a_stale_pooled_connection_is_retried_once_and_is_no_attempt(
    bench: UpstreamBench, how: Callable[[Peer], None]
) -> None:
    (peer,) = bench.idle_connections(1)
    attempt = bench.send()
    how(peer)  # before it has read the request
    fresh = bench.accept()
    bench.exchange(fresh, attempt)
    assert bench.facts.retries == 1
    assert bench.facts.finished[1:] == [attempt]
    assert bench.counts == {"idle": 1}
    bench.exchange(fresh)


def test_a_retry_that_fails_ends_the_attempt(bench: UpstreamBench) -> None:
    (peer,) = bench.idle_connections(1)
    attempt = bench.send()
    peer.close()
    fresh = bench.accept()
    fresh.request()
    fresh.reset()
    bench.settled(attempt)
    assert reason(attempt) == "reset"
    assert bench.facts.retries == 1
    assert bench.counts == {}


def test_a_pooled_connection_that_dies_later_is_a_failed_attempt(bench: UpstreamBench) -> None:
    (peer,) = bench.idle_connections(1)
    attempt = bench.send()
    peer.request()
    bench.now += bench.limits.stale_retry_window_s + 0.001
    peer.close()
    bench.settled(attempt)
    assert (reason(attempt), bench.facts.retries) == ("reset", 0)
    assert bench.waiting_connections() == [], "the upstream may have worked on it"


def test_a_new_connection_that_dies_is_a_failed_attempt(bench: UpstreamBench) -> None:
    attempt = bench.send()
    peer = bench.accept()
    peer.request()
    peer.reset()
    bench.settled(attempt)
    assert (reason(attempt), bench.facts.retries) == ("reset", 0)


def test_an_attempt_abandoned_while_it_is_retried_is_a_loser(bench: UpstreamBench) -> None:
    (peer,) = bench.idle_connections(1)
    attempt = bench.send()
    peer.close()
    bench.until(lambda: bench.facts.retries == 1)
    bench.abandon(attempt)
    fresh = bench.accept()
    bench.exchange(fresh, attempt)
    assert attempt.is_loser
    bench.pass_time(GRACE_S + MARGIN_S)
    assert bench.counts == {"idle": 1}, "its grace is over, and does not concern the connection any more"


def test_a_loser_whose_pooled_connection_was_stale_is_not_retried(bench: UpstreamBench) -> None:
    (peer,) = bench.idle_connections(1)
    attempt = bench.send()
    bench.abandon(attempt)
    peer.close()
    bench.settled(attempt)
    assert (reason(attempt), bench.facts.retries) == ("reset", 0)
    assert bench.counts == {}


# -- losers


def test_m12_a_loser_is_drained_and_its_connection_used_again(bench: UpstreamBench) -> None:
    attempt = bench.send()
    peer = bench.accept()
    peer.request()
    bench.abandon(attempt)
    assert bench.counts == {"active": 1, "loser": 1}
    peer.answer()
    assert isinstance(bench.settled(attempt), Success)
    assert attempt.is_loser
    assert bench.facts.finished == [attempt]
    assert bench.counts == {"idle": 1}
    bench.exchange(peer)


def test_a_loser_is_closed_when_its_grace_is_over(bench: UpstreamBench) -> None:
    attempt = bench.send()
    peer = bench.accept()
    bench.abandon(attempt)
    bench.pass_time(GRACE_S - MARGIN_S)
    assert bench.facts.finished == []
    bench.pass_time(2 * MARGIN_S)
    assert attempt.outcome == Failure(FailureReason.TIMEOUT, "no answer within the loser's grace")
    bench.until(lambda: peer.is_left)
    assert bench.counts == {}
    assert bench.facts.finished == [attempt]


@pytest.mark.parametrize("size", [1, 16 * 1024 * 1024])
def test_a_loser_whose_body_the_upstream_does_not_read_is_closed(bench: UpstreamBench, size: int) -> None:
    """Each held a copy of it for its grace, after the request was answered and its body counted no more."""
    attempt = bench.send(1, passed_on_request(b"POST", b"x" * size))
    peer = bench.accept()
    bench.until(lambda: bench.counts == {"active": 1} and (peer._receive() or len(peer.received) > 0))
    bench.abandon(attempt)
    assert bench.counts == ({"active": 1, "loser": 1} if size == 1 else {})


def test_an_internal_error_on_the_way_of_one_loser_does_not_spare_the_others(bench: UpstreamBench) -> None:
    losers = [bench.send() for _ in range(3)]
    for loser in losers:
        bench.abandon(loser)
        bench.now += 0.1
    bench.facts.fails = True
    bench.pass_time(GRACE_S)
    assert len(bench.internal_errors) == 1
    bench.internal_errors.clear()
    bench.pass_time(MARGIN_S)
    assert [reason(loser) for loser in losers] == ["timeout"] * 3
    assert bench.counts == {}


def test_a_loser_still_connecting_is_closed_when_its_grace_is_over(bench: UpstreamBench) -> None:
    attempt = bench.send()
    bench.abandon(attempt)
    bench.now += GRACE_S + MARGIN_S
    bench.loop._run_due()
    assert reason(attempt) == "timeout"
    assert bench.counts == {}


@pytest.mark.parametrize("losers", LoserPolicy)
def test_a_losers_handshake_goes_on_and_its_connection_is_pooled(
    make_bench: MakeBench, losers: LoserPolicy
) -> None:
    bench = make_bench(losers=losers)
    loser = bench.send_in_handshake()
    bench.abandon(loser)
    bench.now += GRACE_S + MARGIN_S
    bench.loop._run_due()
    assert reason(loser) == "timeout"
    assert bench.counts == {"connecting": 1}
    peer = bench.accept()
    bench.until(lambda: bench.counts == {"idle": 1})
    bench.exchange(peer, bench.send())


def test_the_next_attempt_takes_over_the_oldest_handshake_of_a_loser(bench: UpstreamBench) -> None:
    """Where handshakes take longer than clients wait, none would ever be done for anyone."""
    losers = [bench.send_in_handshake() for _ in range(2)]
    for loser in losers:
        bench.abandon(loser)
    attempt = bench.send()
    assert losers[0].outcome == Failure(FailureReason.TIMEOUT, "closed: its connection was needed")
    assert losers[1].outcome is None
    assert bench.counts == {"connecting": 2, "loser": 1}
    bench.exchange(bench.accept(), attempt)


def test_d1_no_handshake_with_an_address_that_was_tried_is_taken_over(make_bench: MakeBench) -> None:
    bench = make_bench(addresses=2)
    loser = bench.send_in_handshake()
    bench.abandon(loser)
    connection = next(iter(bench.pool.connections))
    assert connection.connecting is not None
    request = bench.request()
    request.tried = [connection.connecting.endpoint]
    bench.send(2, request)
    assert loser.outcome is None
    assert bench.counts == {"connecting": 2, "loser": 1}


def test_a_loser_that_is_not_in_its_handshake_keeps_its_connection(bench: UpstreamBench) -> None:
    loser = bench.send()
    bench.abandon(loser)
    bench.send()
    assert loser.outcome is None
    assert bench.counts == {"connecting": 2, "loser": 1}


def test_a_connections_old_grace_never_ends_its_next_attempt(bench: UpstreamBench) -> None:
    loser = bench.send()
    peer = bench.accept()
    peer.request()
    bench.abandon(loser)
    peer.answer()
    bench.settled(loser)
    attempt = bench.send()
    assert peer.request() == 1
    bench.pass_time(GRACE_S + MARGIN_S)
    assert attempt.outcome is None
    peer.answer()
    assert isinstance(bench.settled(attempt), Success)
    assert not attempt.is_loser


def test_one_connection_has_two_losers_one_after_the_other(bench: UpstreamBench) -> None:
    peer: Peer | None = None
    for _ in range(2):
        loser = bench.send()
        peer = peer or bench.accept()
        peer.request()
        bench.abandon(loser)
        bench.pass_time(GRACE_S / 2)
        peer.answer()
        assert isinstance(bench.settled(loser), Success)
    last = bench.send()
    bench.abandon(last)
    bench.pass_time(GRACE_S + MARGIN_S)
    assert reason(last) == "timeout"


def test_cancelled_losers_are_closed_at_once(make_bench: MakeBench) -> None:
    bench = make_bench(losers=LoserPolicy.CANCEL)
    connecting = bench.send()
    active = bench.send()
    peers = [bench.accept() for _ in range(2)]
    for attempt in (active, connecting):
        bench.abandon(attempt)
        assert attempt.outcome == Failure(FailureReason.TIMEOUT, "cancelled: the race was over")
        assert attempt.is_loser
    assert bench.counts == {}
    bench.until(lambda: all(peer.is_left for peer in peers))


def test_m14_with_every_connection_in_use_the_oldest_loser_makes_way(make_bench: MakeBench) -> None:
    bench = make_bench(max_connections=3)
    attempts = [bench.send() for _ in range(3)]
    for peer in [bench.accept() for _ in range(3)]:
        peer.request()
    bench.abandon(attempts[1])
    bench.abandon(attempts[0])
    new = bench.send()
    assert attempts[1].outcome == Failure(FailureReason.TIMEOUT, "closed: its connection was needed")
    assert attempts[0].outcome is None
    assert bench.counts == {"connecting": 1, "active": 2, "loser": 1}
    bench.exchange(attempt=new)


def test_m17_without_a_loser_it_fails_at_once_and_nothing_queues(make_bench: MakeBench) -> None:
    bench = make_bench(max_connections=1)
    first = bench.send()
    second = bench.send()
    assert second.outcome == Failure(FailureReason.CONNECT, "all 1 connections are in use")
    assert second.handle is None
    assert bench.facts.finished == [second]
    bench.exchange(attempt=first)


def test_m14_a_handshake_that_no_attempt_waits_for_makes_way(make_bench: MakeBench) -> None:
    """Otherwise a hedge fails for want of a connection, and it looks as if the upstream had refused it."""
    bench = make_bench(max_connections=2)
    loser = bench.send_in_handshake()
    bench.abandon(loser)
    bench.now += GRACE_S + MARGIN_S
    bench.loop._run_due()
    assert loser.outcome is not None
    assert bench.counts == {"connecting": 1}
    connection = next(iter(bench.pool.connections))
    assert connection.connecting is not None
    connection.connecting.is_handshaking = False  # so that it is not taken over
    attempts = [bench.send(), bench.send()]
    assert [attempt.outcome for attempt in attempts] == [None, None]
    assert bench.counts == {"connecting": 2}
    assert connection not in bench.pool.connections


# -- D1: attempts of one request go to different addresses


def test_d1_attempts_of_one_request_connect_to_different_addresses(make_bench: MakeBench) -> None:
    bench = make_bench(addresses=3)
    for _ in range(4):
        request = bench.request()
        bench.send(1, request)
        bench.until(lambda: len(request.tried or ()) == 1)  # noqa: B023
        bench.send(2, request)
        bench.send(3, request)
        bench.until(lambda: len(request.tried or ()) == 3)  # noqa: B023
        assert set(request.tried or ()) == {bench.endpoint(number) for number in range(3)}


def test_d1_pooled_connections_too(make_bench: MakeBench) -> None:
    bench = make_bench(addresses=3)
    for number in range(3):
        attempt = bench.send_to(number)
        bench.exchange(bench.accept(number), attempt)
    assert bench.counts == {"idle": 3}
    request = bench.request()
    for number in (1, 2, 3):
        bench.send(number, request)
    assert set(request.tried or ()) == {bench.endpoint(number) for number in range(3)}
    assert bench.counts == {"active": 3}, "none had to connect"


def test_d1_after_a_stale_connection_the_endpoint_is_connected_to(make_bench: MakeBench) -> None:
    bench = make_bench(addresses=3)
    attempt = bench.send_to(2)
    stale = bench.exchange(bench.accept(2), attempt)
    bench.now += 0.1
    attempt = bench.send_to(2)
    tried = list(attempt.request.tried or ())
    stale.close()
    bench.exchange(bench.accept(2), attempt)
    assert bench.facts.retries == 1
    assert attempt.request.tried == tried
    assert [endpoint.in_flight for endpoint in bench.pool.endpoints.all] == [0, 0, 0]


def test_d1_one_slow_address_of_three_does_not_make_requests_fail(make_bench: MakeBench) -> None:
    """The first address never answers; its requests are answered by their hedges, with one address or another."""
    bench = make_bench(addresses=3)
    for _ in range(12):
        request = bench.request()
        attempts = [bench.send(1, request)]
        bench.until(lambda: len(request.tried or ()) == 1)  # noqa: B023
        bench.now += 0.3
        attempts += [bench.send(number, request) for number in (2, 3)]

        def answered() -> bool:
            for index in bench.waiting_connections():
                bench.accept(index)
            for peer in bench.peers:
                if peer.sock.getsockname()[0] != "127.0.0.1" and not peer.eof:
                    peer._receive()
                    if b"\r\n\r\n" in peer.received:
                        peer.received = b""
                        peer.answer()
            return any(isinstance(attempt.outcome, Success) for attempt in attempts)  # noqa: B023

        bench.until(answered)
        for attempt in attempts:
            if attempt.outcome is None:
                bench.abandon(attempt)
        bench.pass_time(2 * GRACE_S)


def test_a_request_to_one_address_keeps_no_account_of_it(bench: UpstreamBench) -> None:
    request = bench.request()
    bench.exchange(attempt=bench.send(1, request))
    assert not request.tried


# -- D2: mute pooled connections


def test_d2_the_last_hedge_takes_a_new_connection_where_none_is_proven(bench: UpstreamBench) -> None:
    bench.idle_connections(3)
    bench.pass_time(0.1)
    request = bench.request()
    for number in (1, 2):
        bench.send(number, request)
    assert bench.counts == {"active": 2, "idle": 1}
    bench.send(3, request)
    assert bench.counts == {"active": 2, "idle": 1, "connecting": 1}
    assert bench.accept().request() == 3


def test_d2_or_one_that_has_answered_since_its_first_attempt_was_sent(bench: UpstreamBench) -> None:
    peers = bench.idle_connections(3)
    bench.pass_time(0.1)
    request = bench.request()
    first = bench.send(1, request)
    bench.exchange(peers[1])  # another request is answered on a pooled connection
    bench.now += 0.3
    bench.send(2, request)
    assert peers[1].request() == 2
    peers[1].answer()
    bench.until(lambda: bench.counts == {"active": 1, "idle": 2})
    bench.send(3, request)
    assert peers[1].request() == 3
    assert bench.waiting_connections() == []
    assert first.outcome is None


def answered_beside(bench: UpstreamBench, idle_for_s: float) -> Peer:
    """Return a pooled connection, idle for this long when a request is first sent; another has answered since."""
    peers = bench.idle_connections(3)
    bench.pass_time(idle_for_s)
    other = bench.send()  # a request that is under way
    assert peers[2].request() == 1
    bench.send(1, request := bench.request())
    assert peers[1].request() == 1
    peers[2].answer()
    bench.settled(other)
    bench.send()  # another request takes the connection that was used last
    assert peers[2].request() == 1
    bench.now += 0.3
    bench.send(3, request)
    return peers[0]


def test_d2_or_one_that_was_used_recently_where_another_pooled_one_has_answered(bench: UpstreamBench) -> None:
    """Otherwise the last hedges of each swing of the load would connect."""
    assert answered_beside(bench, PROVEN_FOR_S - 0.1).request() == 3
    assert bench.waiting_connections() == []


def test_d2_but_none_that_was_idle_for_longer(bench: UpstreamBench) -> None:
    answered_beside(bench, PROVEN_FOR_S + 0.1)
    assert bench.accept().request() == 3


def test_d2_with_one_hedge_it_is_that_one(make_bench: MakeBench) -> None:
    bench = make_bench(hedges=1)
    bench.idle_connections(2)
    bench.now += 0.1
    request = bench.request()
    bench.send(1, request)
    bench.send(2, request)
    assert bench.accept().request() == 2


@pytest.mark.parametrize("addresses", [1, 2])
def test_d2_ten_requests_in_a_row_are_answered_though_pooled_connections_are_mute(
    make_bench: MakeBench, addresses: int
) -> None:
    """A middlebox has forgotten all 40 pooled connections; new ones are fine."""
    bench = make_bench(addresses=addresses)
    attempts = [bench.send() for _ in range(40)]
    mute: list[Peer] = []
    while len(mute) < 40:
        bench.iterate()
        mute += [bench.accept(index) for index in bench.waiting_connections()]
    for peer in mute:
        peer.request()
        peer.answer()
    for attempt in attempts:
        bench.settled(attempt)
    assert bench.counts == {"idle": 40}
    for _ in range(10):
        bench.now += 0.1
        request = bench.request()
        attempts = [bench.send(1, request)]
        bench.now += 0.3
        attempts += [bench.send(number, request) for number in (2, 3)]
        fresh: list[Peer] = []
        while not fresh:
            bench.iterate()
            fresh = [bench.accept(index) for index in bench.waiting_connections()]
        fresh[0].request()
        fresh[0].answer()
        bench.until(lambda: any(isinstance(attempt.outcome, Success) for attempt in attempts))  # noqa: B023
        for attempt in attempts:
            if attempt.outcome is None:
                bench.abandon(attempt)
        mute += fresh  # it forgets those, too


def test_d2_of_several_addresses_the_last_hedge_takes_no_unproven_connection(make_bench: MakeBench) -> None:
    """A pooled connection to an address that was not tried yet is no better, if it has not answered for long."""
    bench = make_bench(addresses=2, hedges=1)
    one = bench.send_to(1)
    bench.exchange(bench.accept(1), one)
    zero = bench.send_to(0)
    to_zero = bench.exchange(bench.accept(0), zero)
    bench.pass_time(5.0)
    request = bench.send_to(0).request
    request.tried = [bench.endpoint(0)]
    assert to_zero.request() == 1
    other = bench.send_to(0)  # meanwhile address 0 answers another request
    bench.exchange(bench.accept(0), other)
    assert bench.counts == {"active": 1, "idle": 2}
    bench.send(2, request)
    assert bench.accept(1).request() == 2, "on a new connection, to the other address"


def test_d2_the_last_hedge_waits_for_no_handshake_that_may_be_mute(make_bench: MakeBench) -> None:
    """Handshakes that are answered end soon: of those that no attempt waits for, the mute ones are left."""
    bench = make_bench(tls=True)
    lost = [bench.send() for _ in range(3)]
    for _ in lost:
        bench.accept()  # and never answer its handshake
    bench.until(lambda: all(bench.connecting(attempt).has_started_handshake for attempt in lost))
    for attempt in lost:
        bench.abandon(attempt)
    request = bench.request()
    first, second, last = (bench.send(number, request) for number in (1, 2, 3))
    assert bench.counts == {"connecting": 4, "loser": 1}
    fresh = bench.accept()
    bench.until(lambda: fresh.shake() and bench.counts["connecting"] == 3)
    connection = next(each for each in bench.pool.connections if each.attempt is last)
    assert connection.state == ACTIVE
    assert [bench.connecting(attempt).has_started_handshake for attempt in (first, second)] == [True, True]


def test_an_attempt_without_hedges_waits_for_no_handshake_that_was_started_for_another(
    make_bench: MakeBench,
) -> None:
    """It would end with the other's deadline: a request failed, for want of a connection, as soon as it came."""
    bench = make_bench(tls=True, hedges=0)
    lost = bench.send()
    bench.accept()  # and never answer its handshake
    bench.until(lambda: bench.connecting(lost).has_started_handshake)
    bench.abandon(lost)
    bench.now += bench.limits.connect_timeout_s - MARGIN_S
    attempt = bench.send()
    fresh = bench.accept()
    bench.pass_time(2 * MARGIN_S)
    assert lost.outcome is not None
    bench.until(lambda: fresh.shake() and bench.counts == {"active": 1})
    bench.exchange(fresh, attempt)


@pytest.mark.parametrize("hedges", [0, 2])
def test_an_attempt_waits_for_a_handshake_that_we_have_not_started(
    make_bench: MakeBench, hedges: int
) -> None:
    bench = make_bench(tls=True, hedges=hedges)
    lost = bench.send()
    bench.until(lambda: bench.connecting(lost).is_handshaking)
    bench.abandon(lost)
    attempt = bench.send()
    assert bench.counts == {"connecting": 1}
    peer = bench.accept()
    bench.until(lambda: peer.shake() and bench.counts == {"active": 1})
    bench.exchange(peer, attempt)


def test_d2_but_for_one_that_we_have_not_started(make_bench: MakeBench) -> None:
    """Where thousands of clients come at once, most have not been: each connect more would make them wait longer."""
    bench = make_bench(tls=True)
    lost = bench.send()
    bench.until(lambda: bench.connecting(lost).is_handshaking)
    assert not bench.connecting(lost).has_started_handshake
    bench.abandon(lost)
    bench.send(3)
    assert bench.counts == {"connecting": 1}


@pytest.mark.parametrize(("failures", "unreachable_until"), [(1, 0.0), (0, 2_000.0)])
def test_u03_an_answer_on_a_pooled_connection_clears_its_endpoint(
    bench: UpstreamBench, failures: int, unreachable_until: float
) -> None:
    (peer,) = bench.idle_connections(1)
    endpoint = bench.endpoint(0)
    endpoint.failures, endpoint.unreachable_until = failures, unreachable_until
    bench.exchange(peer)
    assert (endpoint.failures, endpoint.unreachable_until) == (0, 0.0)


# -- D3, D4: addresses that change, and age


def test_d3_connections_to_an_address_that_the_name_has_no_more_are_closed(make_bench: MakeBench) -> None:
    bench = make_bench(addresses=2)
    peers = []
    for number in (0, 1):
        attempt = bench.send_to(number)
        peers.append(bench.exchange(bench.accept(number), attempt))
    bench.names.found = [bench.address(1)]
    bench.pass_time(bench.limits.dns_ttl_s + MARGIN_S)
    bench.pass_time(REAP_INTERVAL_S + MARGIN_S)
    bench.until(lambda: peers[0].is_left)
    assert bench.counts == {"idle": 1}
    bench.exchange(peers[1])


def test_d3_an_address_may_be_gone_before_the_connection_to_it_is_established(make_bench: MakeBench) -> None:
    """The simulation found such a connection in use for good."""
    bench = make_bench(addresses=2)
    attempt = bench.send_to(0)
    bench.pool.endpoints.replace(bench.target, [bench.address(1)])
    peer = bench.accept(0)
    bench.exchange(peer, attempt)
    bench.until(lambda: peer.is_left)
    assert bench.counts == {}


def test_d3_an_attempt_that_runs_is_not_cut_off_but_its_connection_not_used_again(
    bench: UpstreamBench,
) -> None:
    attempt = bench.send()
    peer = bench.accept()
    peer.request()
    bench.add_address("127.0.0.2")
    bench.names.found = [bench.address(1)]
    bench.pass_time(bench.limits.dns_ttl_s + MARGIN_S)
    assert attempt.outcome is None
    peer.answer()
    assert isinstance(bench.settled(attempt), Success)
    bench.until(lambda: peer.is_left)
    second = bench.send()
    bench.exchange(bench.accept(1), second)


def test_d4_the_old_address_is_used_on_while_the_name_cannot_be_looked_up(bench: UpstreamBench) -> None:
    (peer,) = bench.idle_connections(1)
    lookups = bench.names.lookups
    bench.names.found = Failure(FailureReason.CONNECT, "name lookup: no answer")
    bench.pass_time(bench.limits.dns_ttl_s + MARGIN_S)
    assert bench.names.lookups == lookups + 1
    bench.exchange(peer)
    second = bench.send()
    third = bench.send()  # a new connection, to the stale address
    bench.exchange(peer, second)
    bench.exchange(bench.accept(), third)


def test_d3_a_connection_has_a_greatest_age_under_steady_use(bench: UpstreamBench) -> None:
    (peer,) = bench.idle_connections(1)
    for _ in range(int(bench.limits.max_connection_age_s / 10)):
        bench.pass_time(10.0)
        bench.exchange(peer)
    bench.now += 1.0
    attempt = bench.send()
    peer.request()
    peer.answer()
    assert isinstance(bench.settled(attempt), Success)
    bench.until(lambda: peer.is_left)
    assert bench.counts == {}


def test_d3_an_idle_connection_that_is_too_old_is_closed(make_bench: MakeBench) -> None:
    bench = make_bench(limits=UpstreamLimits(max_connection_age_s=5.0))
    (peer,) = bench.idle_connections(1)
    bench.pass_time(4.0)
    assert not peer.is_left
    bench.pass_time(1.0 + REAP_INTERVAL_S)
    bench.until(lambda: peer.is_left)
    assert bench.counts == {}


# -- the ends


def test_a_refused_connection_is_a_failed_attempt(bench: UpstreamBench) -> None:
    bench.listeners[0].close()
    attempt = bench.send()
    bench.settled(attempt)
    assert attempt.outcome == Failure(FailureReason.CONNECT, "Connection refused")
    assert bench.counts == {}


def test_connecting_is_bounded_and_an_abandoned_connect_too(bench: UpstreamBench) -> None:
    attempt = bench.send()
    bench.now += bench.limits.connect_timeout_s + MARGIN_S
    bench.loop._run_due()
    assert reason(attempt) == "connect"
    assert bench.counts == {}


def test_closing_the_pool_cuts_off_what_runs_and_leaves_nothing(bench: UpstreamBench) -> None:
    (idle,) = bench.idle_connections(1)
    active = bench.send()
    idle.request()
    loser = bench.send()
    bench.abandon(loser)
    connecting = bench.send()
    bench.pool.close()
    outcome = Failure(FailureReason.TIMEOUT, "closed: the worker ends")
    assert [attempt.outcome for attempt in (active, loser, connecting)] == [outcome] * 3
    assert bench.pool.connection_counts() == {"connecting": 0, "active": 0, "idle": 0, "loser": 0}
    bench.pool.close()
