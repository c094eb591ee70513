"""Attempts that wait for a TLS handshake, and connections that become idle meanwhile."""

import pytest

from hedgerow.core.outcomes import Attempt, Failure, FailureReason, Success
from support.upstream_bench import GRACE_S, OK, BrokenSpan, MakeBench, Peer, UpstreamBench

MARGIN_S = 0.002
"""More than a tick of the deadlines."""


def busy(bench: UpstreamBench, address: int = 0) -> tuple[Peer, Attempt]:
    """Return a new connection that has an attempt."""
    attempt = bench.send_to(address)
    peer = bench.accept(address)
    peer.request()
    return peer, attempt


def waiting(bench: UpstreamBench, number: int = 1) -> Attempt:
    """Return an attempt that waits for a handshake, which will not end by itself."""
    attempt = bench.send_in_handshake(number)
    bench.hold(bench.connecting(attempt))
    return attempt


def test_an_attempt_that_waits_takes_a_connection_that_becomes_idle(bench: UpstreamBench) -> None:
    peer, first = busy(bench)
    attempt = waiting(bench)
    opening = bench.connecting(attempt)
    peer.answer()
    bench.settled(first)
    assert bench.counts == {"active": 1, "connecting": 1}
    assert peer.request() == 1
    peer.answer()
    assert isinstance(bench.settled(attempt), Success)
    bench.let_go(opening)
    bench.until(lambda: bench.counts == {"idle": 2})
    assert bench.facts.finished == [first, attempt]


def test_it_takes_one_whose_handshake_has_ended_without_an_attempt(bench: UpstreamBench) -> None:
    loser = waiting(bench)
    opening = bench.connecting(loser)
    bench.abandon(loser)
    bench.now += 2 * GRACE_S
    bench.loop._run_due()
    assert loser.outcome is not None
    opening.is_handshaking = False  # so that it is not taken over
    attempt = waiting(bench)
    opening.is_handshaking = True
    bench.let_go(opening)
    bench.exchange(bench.accept(), attempt)
    assert bench.counts == {"idle": 1, "connecting": 1}


def test_the_newest_is_first_and_each_connection_serves_one(bench: UpstreamBench) -> None:
    peer, _ = busy(bench)
    attempts = [waiting(bench) for _ in range(3)]
    for attempt in reversed(attempts):
        assert [each.outcome for each in attempts if each is attempt] == [None]
        peer.answer()
        peer.request()
    peer.answer()
    bench.until(lambda: all(attempt.outcome for attempt in attempts))
    assert bench.facts.finished[1:] == attempts[::-1]


def test_an_attempt_that_was_passed_on_can_lose(bench: UpstreamBench) -> None:
    peer, _ = busy(bench)
    attempt = waiting(bench)
    peer.answer()
    peer.request()
    bench.abandon(attempt)
    assert bench.counts == {"active": 1, "connecting": 1, "loser": 1}
    peer.answer()
    assert isinstance(bench.settled(attempt), Success)
    assert bench.counts == {"idle": 1, "connecting": 1}


def test_b12_an_internal_error_as_an_attempt_is_passed_on_costs_this_one(bench: UpstreamBench) -> None:
    """It stayed with the connection that it was passed on to, for good."""
    peer, _ = busy(bench)
    attempts = [waiting(bench) for _ in range(2)]
    attempts[-1].span = BrokenSpan()
    peer.answer()
    bench.until(lambda: bool(bench.internal_errors))
    assert [type(error) for error in bench.internal_errors] == [ZeroDivisionError]
    bench.internal_errors.clear()
    assert [each.outcome for each in attempts] == [None, Failure(FailureReason.RESET, "an internal error")]
    assert (bench.counts, bench.endpoint(0).in_flight) == ({"connecting": 2}, 1)


def test_one_that_has_lost_takes_none(bench: UpstreamBench) -> None:
    peer, first = busy(bench)
    attempt = waiting(bench)
    bench.abandon(attempt)
    peer.answer()
    bench.settled(first)
    assert bench.counts == {"idle": 1, "connecting": 1, "loser": 1}


def test_one_whose_tcp_is_not_connected_takes_none(bench: UpstreamBench) -> None:
    """That takes no time of ours, and is over soon or never."""
    peer, first = busy(bench)
    attempt = waiting(bench)
    bench.connecting(attempt).is_handshaking = False
    peer.answer()
    bench.settled(first)
    assert bench.counts == {"idle": 1, "connecting": 1}


def test_d1_none_takes_a_connection_to_another_endpoint(make_bench: MakeBench) -> None:
    bench = make_bench(addresses=2)
    peer, first = busy(bench, address=1)
    attempt = bench.send_to(0)
    bench.connecting(attempt).is_handshaking = True
    bench.hold(bench.connecting(attempt))
    peer.answer()
    bench.settled(first)
    assert bench.counts == {"idle": 1, "connecting": 1}


@pytest.mark.parametrize("is_late", [False, True])
def test_one_that_is_passed_on_to_a_stale_connection_is_sent_again_however_long_it_waited(
    bench: UpstreamBench, is_late: bool
) -> None:
    """How soon the connection must end counts from when the attempt was sent on it."""
    window_s = bench.limits.stale_retry_window_s
    peer, first = busy(bench)
    attempt = waiting(bench)
    bench.now += 10 * window_s
    peer.answer()
    bench.settled(first)
    peer.request()
    bench.now += window_s + MARGIN_S if is_late else window_s - MARGIN_S
    peer.close()
    bench.until(lambda: bench.facts.retries == 1 or attempt.outcome is not None)
    assert bench.facts.retries == (0 if is_late else 1)
    assert (attempt.outcome is None) is not is_late


def go_on_in_handshake(bench: UpstreamBench, attempt: Attempt) -> None:
    """Have the connect of an attempt, whose first address does not answer, be in the handshake with the next."""
    opening = bench.connecting(attempt)
    bench.hold(opening)
    bench.pass_time(bench.limits.happy_eyeballs_delay_s + MARGIN_S)
    bench.hold(opening)
    opening.is_handshaking = True


def in_flight(bench: UpstreamBench) -> list[int]:
    """Return how many attempts each address has."""
    return [bench.endpoint(number).in_flight for number in range(len(bench.listeners))]


def test_u02_an_attempt_that_is_passed_on_counts_for_the_address_that_it_is_sent_to(
    make_bench: MakeBench,
) -> None:
    """Its connect went on from an address that did not answer, which had one attempt for ever; the other had -1."""
    bench = make_bench(addresses=2)
    peer, first = busy(bench, address=1)
    attempt = bench.send_to(0)
    assert in_flight(bench) == [1, 1]
    go_on_in_handshake(bench, attempt)
    peer.answer()
    bench.settled(first)
    assert peer.request() == 1
    assert in_flight(bench) == [0, 1]
    peer.answer()
    bench.settled(attempt)
    assert in_flight(bench) == [0, 0]


def test_u02_one_that_was_sent_before_its_address_was_known_too(make_bench: MakeBench) -> None:
    bench = make_bench(is_looked_up=False)
    attempt, first = bench.send(), bench.send()
    bench.iterate()
    bench.hold(bench.connecting(attempt))
    bench.connecting(attempt).is_handshaking = True
    _, peer = bench.accept(), bench.accept()
    peer.request()
    assert in_flight(bench) == [1]
    peer.answer()
    bench.settled(first)
    assert peer.request() == 1
    assert in_flight(bench) == [1]
    peer.answer()
    bench.settled(attempt)
    assert in_flight(bench) == [0]


@pytest.mark.parametrize("ends_first", [False, True])
def test_u02_one_that_takes_a_connect_over_counts_for_the_address_that_this_leads_to(
    make_bench: MakeBench, ends_first: bool
) -> None:
    bench = make_bench(addresses=2)
    loser = bench.send_to(0)
    go_on_in_handshake(bench, loser)
    bench.abandon(loser)
    if ends_first:
        bench.pass_time(GRACE_S + MARGIN_S)
    attempt = bench.send_to(1)
    assert loser.outcome is not None
    assert in_flight(bench) == [0, 1]
    bench.pool.close()
    assert attempt.outcome is not None
    assert in_flight(bench) == [0, 0]


def test_one_that_was_sent_again_takes_none(bench: UpstreamBench) -> None:
    """Its connection was stale. It is sent again once, and that on a new one."""
    peer, first = busy(bench)
    (stale,) = bench.idle_connections(1)
    attempt = bench.send()
    stale.close()
    bench.until(lambda: bench.facts.retries == 1)
    bench.hold(bench.connecting(attempt))
    bench.connecting(attempt).is_handshaking = True
    peer.answer()
    bench.settled(first)
    assert bench.counts == {"idle": 1, "connecting": 1}


def test_d2_last_hedges_take_one_that_has_just_answered_and_none_that_may_be_mute(
    bench: UpstreamBench,
) -> None:
    peer, _ = busy(bench)
    bench.idle_connections(1)
    bench.now += 40.0
    hedges = [waiting(bench, 3) for _ in range(2)]
    peer.answer()
    assert peer.request() == 3
    bench.iterate()
    assert bench.counts == {"idle": 1, "active": 1, "connecting": 2}
    peer.answer()
    assert peer.request() == 3
    assert [isinstance(each.outcome, Success) for each in hedges] == [False, True]


def test_unrequested_bytes_are_no_response_of_an_attempt_that_waits(bench: UpstreamBench) -> None:
    peer, _ = busy(bench)
    attempt = waiting(bench)
    peer.answer(OK + OK)
    bench.until(lambda: peer.is_left)
    assert attempt.outcome is None
    assert bench.counts == {"connecting": 1}
