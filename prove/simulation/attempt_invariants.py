"""When attempts are sent, how many, and where to."""

from prove.simulation.behaviour import AddressKind, Connect
from prove.simulation.clients import Asked, Client
from prove.simulation.evidence import FLOAT_S, SLACK_S, Evidence
from prove.simulation.probes import Launch
from prove.simulation.upstream import Received

WAIT_SHARE = 1 / 4
"""The part of its timeout for which a request may wait unsent (BEHAVIOUR B11)."""
BACKPRESSURE_S = 0.075
"""After a 503 its connection is not read for this long."""
REAP_S = 1.0
"""Pooled connections to addresses that are gone are looked for this often."""
LOOKUP_PAUSE_S = 1.0
"""Between a lookup that has failed and the next."""


def wait_s(timeout_ms: int) -> float:
    """Return for how long a request may wait unsent."""
    return timeout_ms / 1000 * WAIT_SHARE


def check_attempts(evidence: Evidence) -> None:
    """Check the attempts of all requests."""
    for client in evidence.played.clients:
        for asked in client.asked:
            _check_request(evidence, client, asked)
    _check_lookups(evidence)


def _check_request(evidence: Evidence, client: Client, asked: Asked) -> None:
    must, launches, hedges = evidence.must, evidence.launches(asked), evidence.settings.hedges
    numbers = [launch.number for launch in launches]
    must(len(launches) <= 1 + hedges, "at most three attempts, or as many as are set", numbers)
    must(numbers == list(range(1, len(numbers) + 1)), "attempts are sent in their order", numbers)
    if not launches:
        return
    must(asked.plan.timeout_ms is not None, "what needs no upstream does not ask it", asked.plan.head)
    _check_first(evidence, client, asked, launches[0])
    if len(launches) > 1:
        _check_hedges(evidence, asked, launches)
        _check_last_hedge(evidence, asked, launches)
        _check_addresses(evidence, asked, launches)
    _check_none_after(evidence, client, asked, launches)
    _check_failures(evidence, asked, launches)


def _check_first(evidence: Evidence, client: Client, asked: Asked, first: Launch) -> None:
    """At once, when the head has come and the request before it is answered; under load it may wait a while."""
    if not client.reads_at_once or asked.plan.timeout_ms is None:
        return
    begins_at, before = asked.whole_at, asked.follows
    while before is not None:
        ends = [settled.at for settled in evidence.settled[before.plan.request_id]]
        begins_at = max([begins_at, *ends, *(answer.sent_at for answer in before.answers)])
        if before.answers and before.answers[0].status == 503:
            begins_at = max(begins_at, before.answers[0].sent_at + BACKPRESSURE_S)
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


def _check_last_hedge(evidence: Evidence, asked: Asked, launches: list[Launch]) -> None:
    """It does not share the fate of the first: pooled connections may all have gone mute (FAULTS D2)."""
    last = launches[-1]
    if last.number == 1 + evidence.settings.hedges and not last.pool_is_full:
        since = last.reused_since
        evidence.must(
            since is None or since >= launches[0].at,
            "the last hedge takes no connection that was pooled before the first attempt",
            asked.plan.request_id, since, launches[0].at,
        )  # fmt: skip


def _check_addresses(evidence: Evidence, asked: Asked, launches: list[Launch]) -> None:
    """Hedges go to another address than the first attempt, where there is one that works (FAULTS D1)."""
    played, request_id = evidence.played, asked.plan.request_id
    received = {one.number: one for one in reversed(played.upstream.received[request_id])}
    first = received.get(1)
    if played.scenario.addresses == 1 or first is None:
        return
    for launch in launches[1:]:
        hedge = received.get(launch.number)
        if hedge is None or first.at > launch.at or launch.pool_is_full or hedge.address != first.address:
            continue
        if not received.keys() >= set(
            range(1, launch.number)
        ):  # one did not arrive: who knows where it was sent
            continue
        others = _working_addresses(evidence, launch.at)
        others -= {one.address for one in played.upstream.received[request_id] if one.number < launch.number}
        tried = {host for at, host, _ in played.upstream.connects if launch.at <= at <= hedge.at}
        evidence.must(
            not others or bool(others & tried),
            "hedges go to other addresses than the first attempt", request_id, launch, first.address, others,
        )  # fmt: skip


def _working_addresses(evidence: Evidence, at: float) -> set[str]:
    """Return those that all lookups so far have returned, and that no connect to has failed."""
    played = evidence.played
    looked_up = [
        {entry[4][0] for entry in lookup.addresses}
        for lookup in played.lookups
        if lookup.reported_at <= at and lookup.addresses
    ]
    if not looked_up:
        return set()
    working: set[str] = set.intersection(*looked_up)
    failed = {
        host for when, host, how in played.upstream.connects if when <= at and how is not Connect.ACCEPTED
    }
    kinds = (AddressKind.USUAL, AddressKind.SLOW)
    working -= failed | played.upstream.slow_to_connect
    timed_out = any("no connection within" in end.detail for end in played.seen.finished if end.at <= at)
    if timed_out or evidence.stalled_s(0.0, at):
        return set()  # any address may have been taken for one that does not answer
    return {host for host in working if played.upstream.kind_of(host) in kinds}


def _check_none_after(evidence: Evidence, client: Client, asked: Asked, launches: list[Launch]) -> None:
    must, request_id, timeout_ms = evidence.must, asked.plan.request_id, asked.plan.timeout_ms
    # Of a client that has pipelined this much nothing more is read, and so no end either.
    pipelined = sum(len(other.plan.head) for other in client.asked)
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


def _check_failures(evidence: Evidence, asked: Asked, launches: list[Launch]) -> None:
    """A lookup that fails or hangs does no harm once there are addresses (FAULTS D4)."""
    known_at = min(
        (lookup.reported_at for lookup in evidence.played.lookups if lookup.addresses), default=None
    )
    for end in evidence.finished[asked.plan.request_id]:
        launch = launches[end.number - 1]
        evidence.must(
            known_at is None or launch.at <= known_at or "name lookup" not in end.detail,
            "stale addresses are used on while a lookup fails", asked.plan.request_id, end, known_at,
        )  # fmt: skip
        evidence.must(
            end.is_loser or "loser's grace" not in end.detail,
            "only losers have a grace that ends", asked.plan.request_id, end,
        )  # fmt: skip
    retried: set[int] = set()
    for received in evidence.played.upstream.received[asked.plan.request_id]:
        launch = launches[received.number - 1]
        _check_current(evidence, asked, launch, received)
        if launch.reused_since is not None and received.number not in retried:
            _check_pooled(evidence, asked, received, launch.reused_since)
        retried.add(received.number)  # the next time on a new connection


def _check_current(evidence: Evidence, asked: Asked, launch: Launch, received: Received) -> None:
    """An address that the name has lost is used no more (FAULTS D3)."""
    at = launch.at
    oldest_at = at - REAP_S - evidence.slack_s
    oldest_at -= evidence.stalled_s(oldest_at - 1.0, at)
    allowed: set[str] = set()
    for lookup in evidence.played.lookups:
        if lookup.addresses and lookup.reported_at <= received.at:
            if lookup.reported_at < oldest_at:
                allowed.clear()
            allowed |= {entry[4][0] for entry in lookup.addresses}
    evidence.must(
        received.address in allowed,
        "addresses that the name has lost are used no more",
        asked.plan.request_id, received.number, received.address, at, allowed,
    )  # fmt: skip


def _check_pooled(evidence: Evidence, asked: Asked, received: Received, since: float) -> None:
    """A connection that has come back to the pool was to an address that the name had then."""
    known = [one for one in evidence.played.lookups if one.addresses and one.reported_at < since]
    evidence.must(
        not known or any(entry[4][0] == received.address for entry in known[-1].addresses),
        "connections to addresses that are gone do not come back to the pool",
        asked.plan.request_id, received.number, received.address, since,
    )  # fmt: skip


def _check_lookups(evidence: Evidence) -> None:
    """The name is looked up again when its addresses are old, whether or not anything asks."""
    lookups, ttl_s = evidence.played.lookups, evidence.settings.upstream_limits.dns_ttl_s
    for lookup, following in zip(lookups, [*lookups[1:], None], strict=True):
        if lookup.reported_at > evidence.played.ended_at:
            continue
        due_at = lookup.reported_at + (ttl_s if lookup.addresses else LOOKUP_PAUSE_S)
        next_at = following.started_at if following is not None else evidence.played.ended_at
        late_s = next_at - due_at - evidence.stalled_s(lookup.reported_at, next_at)
        evidence.must(late_s <= evidence.slack_s, "a name is looked up again in time", lookup, late_s)
