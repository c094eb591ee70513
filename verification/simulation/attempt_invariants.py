"""When attempts are sent, how many, and where to."""

from verification.simulation.clients import Asked, Client
from verification.simulation.evidence import FLOAT_S, SLACK_S, Evidence
from verification.simulation.probes import Launch

WAIT_SHARE = 1 / 4
"""The part of its timeout for which a request may wait unsent (BEHAVIOUR B11)."""
BACKPRESSURE_S = 0.075
"""After a 503 the next request of its connection is held for this long at most."""
HELD_SHARE = 1 / 8
"""And until this part of its own timeout is over."""


def held_until(evidence: Evidence, client: Client, asked: Asked) -> float:
    """Return until when a request is held, as the one before it was rejected; 0: it is not."""
    before, timeout_ms = asked.follows, asked.plan.timeout_ms
    if before is None or timeout_ms is None or not before.answers or before.answers[0].status != 503:
        return 0.0
    own = evidence.arrived_at(client, asked) + timeout_ms / 1000 * HELD_SHARE
    return min(before.answers[0].sent_at + BACKPRESSURE_S, own)


def wait_s(timeout_ms: int) -> float:
    """Return for how long a request may wait unsent."""
    return timeout_ms / 1000 * WAIT_SHARE


def check_attempts(evidence: Evidence) -> None:
    """Check the attempts of all requests."""
    for client in evidence.played.clients:
        for asked in client.asked:
            _check_request(evidence, client, asked)


def _check_request(evidence: Evidence, client: Client, asked: Asked) -> None:
    must, launches, hedges = evidence.must, evidence.launches(asked), evidence.settings.hedges
    numbers = [launch.number for launch in launches]
    must(len(launches) <= 1 + hedges, "at most three attempts, or as many as are set", numbers)
    must(numbers == list(range(1, len(numbers) + 1)), "attempts are sent in their order", numbers)
    if not launches:
        return
    must(asked.plan.timeout_ms is not None, "what needs no upstream does not ask it", asked.plan.wire)
    _check_first(evidence, client, asked, launches[0])
    if len(launches) > 1:
        _check_hedges(evidence, asked, launches)
    _check_none_after(evidence, client, asked, launches)


def _check_first(evidence: Evidence, client: Client, asked: Asked, first: Launch) -> None:
    """At once, when the head has come and the request before it is answered; under load it may wait a while."""
    if not client.reads_at_once or asked.plan.timeout_ms is None:
        return
    begins_at, before = max(asked.whole_at, held_until(evidence, client, asked)), asked.follows
    while before is not None:
        ends = [settled.at for settled in evidence.settled[before.plan.request_id]]
        begins_at = max([begins_at, *ends, *(answer.sent_at for answer in before.answers)])
        before = before.follows
    allowed_s = evidence.slack_s
    loaded = evidence.is_limited or evidence.last_disturbed_at(first.at) is not None
    if loaded:
        allowed_s += max(evidence.arrived_at(client, asked) + wait_s(asked.plan.timeout_ms) - begins_at, 0.0)
    late_s = first.at - begins_at - evidence.stalled_s(begins_at, first.at)
    invariant = (
        "a request waits unsent for a quarter of its timeout"
        if loaded
        else "the first attempt is sent at once"
    )
    evidence.must(late_s <= allowed_s, invariant, asked.plan.request_id, late_s, allowed_s)


def _check_hedges(evidence: Evidence, asked: Asked, launches: list[Launch]) -> None:
    must, request_id, first, hedges = evidence.must, asked.plan.request_id, launches[0], launches[1:]
    must(len(hedges) == evidence.settings.hedges, "all hedges are sent", request_id, len(hedges))
    apart_s = hedges[-1].at - hedges[0].at
    apart_s -= evidence.stalled_s(hedges[0].at, hedges[-1].at)
    must(apart_s < SLACK_S / 10, "hedges are sent together", request_id, apart_s)
    at, due_at = hedges[0].at, first.at + evidence.hedge_delay_s
    if evidence.settings.hedge_on_failure == "immediate":
        failed = [end.at for end in evidence.finished[request_id] if end.number == 1 and not end.succeeded]
        due_at = min([due_at, *failed])
    must(at >= due_at - FLOAT_S, "hedges are never sent before the hedge delay", request_id, at - due_at)
    late_s = at - due_at - evidence.stalled_s(due_at, at)
    must(late_s <= evidence.slack_s, "hedges are sent after the hedge delay", request_id, late_s)
    for end in evidence.finished[request_id]:
        must(not end.succeeded or end.at >= at, "no hedges after a success", request_id, end, at)
    success = evidence.readable_success(request_id, at)
    must(success is None, "no hedges when a success could be read", request_id, success, at)


def _check_none_after(evidence: Evidence, client: Client, asked: Asked, launches: list[Launch]) -> None:
    must, request_id, timeout_ms = evidence.must, asked.plan.request_id, asked.plan.timeout_ms
    # Of a client that has pipelined this much nothing more is read, and so no end either.
    pipelined = sum(len(other.plan.wire) for other in client.asked)
    paused = pipelined > evidence.settings.client_limits.max_pipelined_bytes
    assert timeout_ms is not None
    deadline_at = asked.begins_by + timeout_ms / 1000
    for launch in launches:
        for settled in evidence.settled[request_id]:
            must(launch.at <= settled.at, "none is sent after the answer", request_id, launch, settled)
        for answer in asked.answers:
            must(launch.at <= answer.sent_at, "none is sent after the answer", request_id, launch, answer)
        if launch.number > 1:
            for due_at, since in ((launch.deadline_at, launch.deadline_at), (deadline_at, asked.first_at)):
                late_s = launch.at - due_at - evidence.stalled_s(since, launch.at)
                must(late_s <= SLACK_S / 10, "none is sent after the deadline", request_id, launch, due_at)
        if asked.left_at is not None and not paused:
            late_s = launch.at - asked.left_at - evidence.stalled_s(asked.left_at, launch.at)
            must(late_s <= evidence.slack_s, "none is sent after the client has left", request_id, launch)
