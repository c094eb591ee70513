"""What clients get, when, and how often."""

import re
from collections.abc import Iterator

from verification.simulation.attempt_invariants import held_until, wait_s
from verification.simulation.clients import Asked, Client
from verification.simulation.evidence import SLACK_S, Evidence
from verification.simulation.probes import Launch

MARGIN_S = 0.003
"""Answers that are due are sent this early, if the loop has not lagged recently."""
MAX_MARGIN_S = 0.025
LAG_REMEMBERED_S = 20.0
"""How long a stall makes the margin longer."""
EARLY_S = 0.0021
"""The kernel returns an instant in whole milliseconds, and a deadline is cut to them."""
UNDATED_S = 0.004
"""While the loop does not lag, what is read is dated as it is read."""
MIN_LINGER_S = 0.05
"""A connection beyond the limit lingers for this long when others wait for its descriptor."""
RECOVERY_S = 2.0
"""Nothing is rejected for longer than this after what disturbed the worker."""
MAX_UNSENT_BYTES = 24 * 1024
"""Answers to one client that may wait in the worker."""

_WINNER = re.compile(rb'winner;desc="([0-9]+)"')
_HEDGES = re.compile(rb'hedges;desc="([0-9]+)"')

PROBLEM = b"application/problem+json"


def check_answers(evidence: Evidence) -> None:
    """Check the answers of all clients."""
    for client in evidence.played.clients:
        evidence.must(not client.unasked, "a client gets one answer to each request", client.unasked)
        for asked in client.asked:
            _check_number(evidence, client, asked)
            if asked.answers and asked.plan.timeout_ms is not None:
                _check_answer(evidence, client, asked)
        _check_connection(evidence, client)


def _check_number(evidence: Evidence, client: Client, asked: Asked) -> None:
    """One answer; none only to a client that has left, or came when the gateway was draining."""
    must, plan = evidence.must, asked.plan
    if asked.answers:
        must(len(asked.answers) == 1, "a client gets one answer to each request", plan.request_id)
        if plan.timeout_ms is None:
            status = asked.answers[0].status
            is_slow = client.script.trickles_s > 0 and plan.has_body and status == 408
            must(status == plan.status or is_slow, "what is rejected says why", plan, asked.answers[0])
        return
    excused = any(_excuses_from_answering(evidence, client, asked))
    must(excused, "a client that stays gets its answer", plan.request_id, asked, client.ended_at)


def _excuses_from_answering(evidence: Evidence, client: Client, asked: Asked) -> Iterator[bool]:
    limits, drains_at = evidence.settings.client_limits, evidence.played.scenario.drains_at
    yield asked.left_at is not None
    yield client.rejected_at_accept
    # It waited for a descriptor when a drain closed the listening socket.
    yield evidence.has_few_descriptors and client.sock is not None and not client.sock.accepted
    yield drains_at is not None and asked.whole_at > drains_at
    yield any(b"Connection: close" in other.answers[0].head for other in client.asked if other.answers)
    yield client.script.reads_after_s > min(limits.write_timeout_s, limits.idle_timeout_s, limits.linger_s)
    # A connection may be closed as idle just when a request comes.
    before = asked.follows.answers if asked.follows is not None else []
    if before and client.ended_at is not None:
        idle_s = asked.first_at - before[0].sent_at
        yield idle_s >= limits.idle_timeout_s - client.script.latency_s * 3


def _check_answer(evidence: Evidence, client: Client, asked: Asked) -> None:
    must, request_id, answer = evidence.must, asked.plan.request_id, asked.answers[0]
    launches, settled = evidence.launches(asked), evidence.settled[request_id]
    if asked.plan.passed is None:
        must(answer.status in (200, 502, 503, 504), "an answer has one of four statuses", request_id, answer)
    if answer.status == 408 and PROBLEM in answer.head:
        _check_late_body(evidence, client, asked)
        return
    if answer.status == 503:
        _check_rejection(evidence, client, asked, launches)
        return
    must(len(settled) == 1, "a request ends once", request_id, settled, answer)
    if len(settled) != 1:
        return
    hedges = _HEDGES.search(answer.head)
    reported = int(hedges[1]) if hedges is not None else None
    must(reported == max(len(launches) - 1, 0), "hedges are reported", request_id, answer.head)
    if settled[0].winner is not None:
        bodies = {(one.number, one.behaviour.body) for one in evidence.played.upstream.received[request_id]}
        won = _WINNER.search(answer.head)
        own = won is not None and (asked.plan.is_head or (int(won[1]), answer.body) in bodies)
        must(own, "an answer is the body of one of its own attempts", request_id, answer, bodies)
    else:
        _check_error(evidence, asked, launches)
    if client.reads_at_once:
        _check_time(evidence, client, asked)


def _check_rejection(evidence: Evidence, client: Client, asked: Asked, launches: list[Launch]) -> None:
    must, request_id, answer, settings = (
        evidence.must, asked.plan.request_id, asked.answers[0], evidence.settings,
    )  # fmt: skip
    must(not launches, "a rejected request costs no attempt", request_id, launches)
    if client.rejected_at_accept:
        must(evidence.has_few_descriptors, "no client is rejected without need", request_id)
        _check_time(evidence, client, asked)
        return
    if not evidence.is_limited:
        disturbed_at = evidence.last_disturbed_at(answer.sent_at)
        must(
            settings.shedding == "on" and disturbed_at is not None,
            "no request is rejected without need",
            answer,
        )
        after_s = answer.sent_at - (disturbed_at or 0.0)
        must(after_s <= RECOVERY_S, "rejections end soon after a disturbance", request_id, after_s)
    elif (
        settings.max_in_flight and client.reads_at_once and evidence.last_disturbed_at(answer.sent_at) is None
    ):
        since = answer.sent_at - evidence.slack_s
        in_flight = sum(begin <= answer.sent_at and since <= end for begin, end in evidence.in_flight)
        must(
            in_flight >= settings.max_in_flight,
            "no request is rejected while there is room", request_id, in_flight, answer.sent_at,
        )  # fmt: skip
    assert asked.plan.timeout_ms is not None
    allowed_s = wait_s(asked.plan.timeout_ms)
    if not _is_rejected_before(evidence, answer.sent_at):  # else waiting has been in vain for others
        least_s = allowed_s - _margin_s(evidence, allowed_s, answer.sent_at)
        early_s = asked.first_at + least_s - answer.sent_at
        must(early_s <= EARLY_S, "a request waits unsent before it is rejected", request_id, early_s, answer)
    if client.reads_at_once:
        due_at = max(evidence.arrived_at(client, asked) + allowed_s, asked.whole_at, _answerable_at(asked))
        due_at += evidence.slack_s + UNDATED_S
        late_s = answer.sent_at - due_at - evidence.stalled_s(due_at - 2 * evidence.slack_s, answer.sent_at)
        must(late_s <= 0, "a request waits unsent for a quarter of its timeout", request_id, late_s, answer)


def _check_late_body(evidence: Evidence, client: Client, asked: Asked) -> None:
    """408: its body took longer than its timeout, and it is answered at its end."""
    plan, answer = asked.plan, asked.answers[0]
    assert plan.timeout_ms is not None
    timeout_s, slack_s = plan.timeout_ms / 1000, evidence.slack_s
    took_s = answer.sent_at - asked.first_at
    evidence.must(
        plan.has_body and took_s >= timeout_s - _margin_s(evidence, timeout_s, answer.sent_at) - EARLY_S,
        "408 only where a body took longer than its timeout", plan.request_id, took_s, answer,
    )  # fmt: skip
    if client.reads_at_once:
        due_at = max(
            evidence.arrived_at(client, asked) + max(timeout_s, slack_s),
            evidence.head_at(client, asked) + slack_s,
            _answerable_at(asked) + slack_s,
        )
        since = due_at - slack_s - SLACK_S
        late_s = answer.sent_at - due_at - evidence.stalled_s(since, answer.sent_at) - (slack_s - SLACK_S)
        evidence.must(late_s <= 0, "408 comes by the deadline", plan.request_id, late_s, answer)


def _answerable_at(asked: Asked) -> float:
    """Return when the request before it has been answered. That it may be held then makes none late."""
    before = asked.follows
    return before.answers[0].sent_at if before is not None and before.answers else 0.0


def _check_time(evidence: Evidence, client: Client, asked: Asked) -> None:
    answer, timeout_ms = asked.answers[0], asked.plan.timeout_ms
    assert timeout_ms is not None
    timeout_s, slack_s = timeout_ms / 1000, evidence.slack_s
    due_at = max(evidence.arrived_at(client, asked) + max(timeout_s, slack_s), asked.whole_at + slack_s)
    due_at = max(due_at, _answerable_at(asked) + slack_s)
    since = due_at - slack_s - SLACK_S  # only a stall at the deadline excuses
    late_s = answer.sent_at - due_at - evidence.stalled_s(since, answer.sent_at) - (slack_s - SLACK_S)
    evidence.must(late_s <= 0, "an answer comes by the deadline", asked.plan.request_id, late_s, answer)
    if answer.status == 504:
        early_s = asked.first_at + timeout_s - _margin_s(evidence, timeout_s, answer.sent_at) - answer.sent_at
        evidence.must(
            early_s <= EARLY_S,
            "504 does not come before time is over",
            asked.plan.request_id,
            early_s,
            answer,
        )


def _is_rejected_before(evidence: Evidence, at: float) -> bool:
    """Return whether another request was rejected before the rejection that left at an instant.

    That one is counted too, and so are those whose client had left.
    """
    rejected_at = evidence.played.seen.rejected_at
    return len(rejected_at) > 1 and rejected_at[1] < at


def _margin_s(evidence: Evidence, timeout_s: float, at: float) -> float:
    """Return the longest margin that an answer due at about an instant may have."""
    lagged = evidence.stalled_s(at - timeout_s - LAG_REMEMBERED_S, at) > 0 or evidence.is_burst
    longest = MAX_MARGIN_S if lagged else MARGIN_S + evidence.slack_s / 3
    return min(longest, max(timeout_s / 2, MARGIN_S), timeout_s)


def _check_error(evidence: Evidence, asked: Asked, launches: list[Launch]) -> None:
    """It had to be one: no success could be read, and 502 means that none could come."""
    must, request_id = evidence.must, asked.plan.request_id
    settled = evidence.settled[request_id][0]
    must(settled.succeeded == 0, "a success is not answered with an error", request_id, settled)
    success = evidence.readable_success(request_id, settled.at, at_deadline=True)
    must(success is None, "a success that could be read is not answered with an error", request_id, success)
    if settled.code == "all_failed":
        deadline_at = launches[0].deadline_at
        sent = 1 + evidence.settings.hedges
        whole = len(launches) == sent or launches[0].at + evidence.hedge_delay_s >= deadline_at
        must(whole, "502 only when nothing is left to try", request_id, len(launches))
        must(settled.pending == 0, "502 only when all have failed", request_id, settled)


def _check_connection(evidence: Evidence, client: Client) -> None:
    """What was sent arrives, what waits is bounded, and a connection is left alone after a 503."""
    sock, limits = client.sock, evidence.settings.client_limits
    if sock is None or not sock.accepted:  # it came just before the listening socket was closed
        return
    evidence.must(sock.max_offered <= MAX_UNSENT_BYTES, "unsent answers are bounded", sock.max_offered)
    if not client.left and client.script.reads_after_s <= limits.linger_s / 2:
        lost = sock.sent_bytes - client.end.received
        evidence.must(lost == 0, "what was sent before a close arrives", client.script, lost)
        lingered_s = (sock.closed_at or 0.0) - (sock.ended_at or sock.closed_at or 0.0)
        evidence.must(
            sock.saw_end or lingered_s >= (MIN_LINGER_S if client.rejected_at_accept else limits.linger_s),
            "closing lingers",
            client.script,
            lingered_s,
        )
    for asked in client.asked if client.reads_at_once else ():
        if asked.answers and asked.answers[0].status == 503:
            _check_backpressure(evidence, client, asked)


def _check_backpressure(evidence: Evidence, client: Client, rejected: Asked) -> None:
    answer = rejected.answers[0]
    if b"Connection: close" in answer.head or client.sock is None:
        return
    for following in client.asked:
        if following.follows is rejected and following.answers:
            end = held_until(evidence, client, following)
            # It counts from the decision; a stall may lie between that and the sending.
            end -= SLACK_S + evidence.stalled_s(answer.sent_at - 1.0, end)
            at = following.answers[0].sent_at
            evidence.must(
                not answer.sent_at < at < end,
                "after a 503 the next request waits",
                answer,
                following.answers[0],
            )
