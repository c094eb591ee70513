"""Where attempts are sent to: addresses and pooled connections (FAULTS D1 to D4)."""

from hedgerow.upstream.idle_connections import PROVEN_FOR_S
from verification.simulation.behaviour import AddressKind, Connect
from verification.simulation.clients import Asked
from verification.simulation.evidence import Evidence
from verification.simulation.probes import Launch
from verification.simulation.resolver import SeenLookup
from verification.simulation.upstream import Received

SENT_S = 0.2
"""What a request takes to the upstream at most."""
REAP_S = 1.0
"""Pooled connections to addresses that are gone are looked for this often."""
LOOKUP_PAUSE_S = 1.0
"""Between a lookup that has failed and the next."""


def check_destinations(evidence: Evidence) -> None:
    """Check where the attempts of all requests went, and the name lookups."""
    for client in evidence.played.clients:
        for asked in client.asked:
            launches = evidence.launches(asked)
            if len(launches) > 1:
                _check_last_hedge(evidence, asked, launches)
                _check_addresses(evidence, asked, launches)
            if launches:
                _check_failures(evidence, asked, launches)
    _check_lookups(evidence)


def _check_last_hedge(evidence: Evidence, asked: Asked, launches: list[Launch]) -> None:
    """It does not share the fate of the first: pooled connections may all have gone mute (FAULTS D2)."""
    first, last = launches[0], launches[-1]
    since = last.reused_since
    if last.number != 1 + evidence.settings.hedges or last.pool_is_full or since is None:
        return
    evidence.must(
        since >= first.at - PROVEN_FOR_S,
        "the last hedge takes no connection that was idle for long when the first attempt was sent",
        asked.plan.request_id, since, first.at,
    )  # fmt: skip
    evidence.must(
        since >= first.at or evidence.pooled_answered(first.at, last.at),
        "the last hedge takes one that has not answered since only where another pooled one has",
        asked.plan.request_id, since, first.at,
    )  # fmt: skip


def _check_addresses(evidence: Evidence, asked: Asked, launches: list[Launch]) -> None:
    """Hedges go to another address than the first attempt, where there is one that works (FAULTS D1)."""
    """No attempt goes to an endpoint twice while another is untried (`routing-rules.md`)."""
    played, request_id = evidence.played, asked.plan.request_id
    received = {one.number: one for one in reversed(played.upstream.received[request_id])}
    first = received.get(1)
    if played.scenario.addresses * len(played.scenario.names) == 1 or first is None:
        return
    rules = evidence.settings.upstreams
    for launch in launches[1:]:
        hedge = received.get(launch.number)
        if hedge is None or first.at > launch.at or launch.pool_is_full:
            continue
        tried_before = {
            one.address for one in received.values() if one.number < launch.number and one.at <= hedge.at
        }
        if hedge.address not in tried_before:
            continue
        if not received.keys() >= set(
            range(1, launch.number)
        ):  # one did not arrive: who knows where it was sent
            continue
        others = _working_addresses(evidence, launch.at)
        others -= tried_before | {
            one.address for one in played.upstream.received[request_id] if one.number < launch.number
        }
        if rules and rules[0].outlier_detection is not None:  # an endpoint with failures may be left out
            others -= _failed_addresses(evidence, launch.at)
        tried = {host for at, host, _ in played.upstream.connects if launch.at <= at <= hedge.at}
        evidence.must(
            not others or bool(others & tried),
            "hedges go to other addresses than the first attempt", request_id, launch, first.address, others,
        )  # fmt: skip


def _working_addresses(evidence: Evidence, at: float) -> set[str]:
    """Return those that all lookups so far have returned, and that no connect to has failed."""
    played = evidence.played
    working: set[str] = set()
    for name in played.scenario.names:
        looked_up = [
            {entry[4][0] for entry in lookup.addresses}
            for lookup in played.lookups
            if lookup.host == name and lookup.reported_at <= at and lookup.addresses
        ]
        if looked_up:
            working |= set.intersection(*looked_up)
    failed = {
        host for when, host, how in played.upstream.connects if when <= at and how is not Connect.ACCEPTED
    }
    kinds = (AddressKind.USUAL, AddressKind.SLOW)
    working -= failed | played.upstream.slow_to_connect
    timed_out = any("no connection within" in end.detail for end in played.seen.finished if end.at <= at)
    if timed_out or evidence.stalled_s(0.0, at):
        return set()  # any address may have been taken for one that does not answer
    return {host for host in working if played.upstream.kind_of(host) in kinds}


def _failed_addresses(evidence: Evidence, at: float) -> set[str]:
    """Return those that an attempt has failed at."""
    failed = {
        (end.request_id, end.number)
        for end in evidence.played.seen.finished
        if end.at <= at and not end.succeeded
    }
    return {
        received.address
        for request_id, number in failed
        for received in evidence.played.upstream.received[request_id]
        if received.number == number
    }


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
    for launch in launches:
        _check_sent(evidence, asked, launch)
    for received in evidence.played.upstream.received[asked.plan.request_id]:
        launch = launches[received.number - 1]
        _check_current(evidence, asked, launch, received)
        # One that met a stale connection was sent again, on a new one.
        if launch.reused_since is not None and received.sock.sent[0][1] < launch.at:
            _check_pooled(evidence, asked, received, launch.reused_since)


def _check_sent(evidence: Evidence, asked: Asked, launch: Launch) -> None:
    """An attempt on a pooled connection is sent: it arrives, or the connection is found to be stale."""
    played, request_id = evidence.played, asked.plan.request_id
    arrived = any(one.number == launch.number for one in played.upstream.received[request_id])
    if launch.reused_since is None or arrived or played.scenario.mute_at is not None:
        return
    for end in evidence.finished[request_id]:
        if end.number == launch.number and "loser's grace" in end.detail:
            retried = any(launch.at <= at <= end.at for at, _, _ in played.upstream.connects)
            evidence.must(
                retried or end.at - launch.at < SENT_S + evidence.stalled_s(launch.at, end.at),
                "an attempt on a pooled connection is sent", request_id, launch, end,
            )  # fmt: skip


def _check_current(evidence: Evidence, asked: Asked, launch: Launch, received: Received) -> None:
    """An address that the name has lost is used no more (FAULTS D3)."""
    at = launch.at
    oldest_at = at - REAP_S - evidence.slack_s
    oldest_at -= evidence.stalled_s(oldest_at - 1.0, at)
    allowed: dict[str, set[str]] = {}
    for lookup in evidence.played.lookups:
        if lookup.addresses and lookup.reported_at <= received.at:
            of_name = allowed.setdefault(lookup.host, set())
            if lookup.reported_at < oldest_at:
                of_name.clear()
            of_name |= {entry[4][0] for entry in lookup.addresses}
    evidence.must(
        any(received.address in of_name for of_name in allowed.values()),
        "addresses that the name has lost are used no more",
        asked.plan.request_id, received.number, received.address, at, allowed,
    )  # fmt: skip


def _check_pooled(evidence: Evidence, asked: Asked, received: Received, since: float) -> None:
    """A connection that has come back to the pool was to an address that the name had then."""
    known = {one.host: one for one in evidence.played.lookups if one.addresses and one.reported_at < since}
    evidence.must(
        not known or any(entry[4][0] == received.address for one in known.values() for entry in one.addresses),
        "connections to addresses that are gone do not come back to the pool",
        asked.plan.request_id, received.number, received.address, since,
    )  # fmt: skip


def _check_lookups(evidence: Evidence) -> None:
    """The name is looked up again when its addresses are old, whether or not anything asks."""
    ttl_s = evidence.settings.upstream_limits.dns_ttl_s
    for name in evidence.played.scenario.names:
        lookups = [one for one in evidence.played.lookups if one.host == name]
        _check_lookups_of_name(evidence, lookups, ttl_s)


def _check_lookups_of_name(evidence: Evidence, lookups: list[SeenLookup], ttl_s: float) -> None:
    for lookup, following in zip(lookups, [*lookups[1:], None], strict=True):
        if lookup.reported_at > evidence.played.ended_at:
            continue
        due_at = lookup.reported_at + (ttl_s if lookup.addresses else LOOKUP_PAUSE_S)
        next_at = following.started_at if following is not None else evidence.played.ended_at
        late_s = next_at - due_at - evidence.stalled_s(lookup.reported_at, next_at)
        evidence.must(late_s <= evidence.slack_s, "a name is looked up again in time", lookup, late_s)
