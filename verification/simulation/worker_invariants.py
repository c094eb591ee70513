"""What the worker does as a whole: the order and length of its iterations, what it counts, what it leaves behind."""

from collections import Counter
from functools import reduce
from math import inf

from hedgerow.settings import DescriptorBudget
from hedgerow.settings.effective_routing import DEFAULT_PATH
from hedgerow.telemetry.snapshot import RouteCounts, add
from verification.simulation.answer_invariants import PROBLEM
from verification.simulation.evidence import Evidence
from verification.simulation.routed_answers import FINAL_STATUSES
from verification.simulation.simulation import Rest

ITERATION_S = 0.006
"""What an iteration may take with a few clients."""
_CODES = {
    200: "success",
    FINAL_STATUSES[0]: "final",
    503: "overloaded",
    504: "out_of_time",
    502: "all_failed",
}
OWN_DESCRIPTORS = 3
"""Two pollers, and the wake-up of the name lookup; a listening socket comes to it."""
IN_RESERVE = DescriptorBudget.RESERVE - DescriptorBudget.REJECTED_IN_RESERVE
"""Left alone by clients and upstreams at any instant, also between two steps of an iteration."""


def check_worker(evidence: Evidence) -> None:
    """Check all of it."""
    _check_iterations(evidence)
    _check_end(evidence)
    _check_counters(evidence)


def _check_iterations(evidence: Evidence) -> None:
    seen = evidence.played.seen
    evidence.must(not seen.disorder, "an iteration keeps its order", *seen.disorder[:3])
    allowed_s = ITERATION_S + evidence.slack_s
    for begin, end in seen.iterations:
        if end - begin > allowed_s:
            took_s = end - begin - evidence.stalled_s(begin, end)
            evidence.must(took_s <= allowed_s, "an iteration is short", begin, took_s)


def _check_end(evidence: Evidence) -> None:
    played, must = evidence.played, evidence.must
    must(played.all_gone, "every client comes to an end", "")
    must(played.drained is not False, "a drain comes to an end", "")
    must(played.upstream.received_too_early == 0, "a connection has one request at a time", "")
    for junk_at, request_id, number in played.upstream.sent_after_junk:
        launched_at = played.seen.launches[request_id][
            number - 1
        ].at  # its bytes may go later, piece by piece
        must(
            evidence.polled_at(launched_at) <= junk_at,
            "a pooled connection is closed when unrequested bytes come", junk_at, request_id, launched_at,
        )  # fmt: skip
    must(not played.seen.short, "an admitted request is never short of a connection", played.seen.short)
    for name, rest in (("at rest", played.at_rest), ("idle", played.idle)):
        _check_rest(evidence, name, rest)
    must(sum(played.idle.upstream.values()) == 0, "idle connections are closed", played.idle)
    must(
        played.max_descriptors <= played.scenario.descriptors - IN_RESERVE + OWN_DESCRIPTORS + 1,
        "descriptors are enough",
        played.max_descriptors,
        played.scenario.descriptors,
    )
    reapers = {"IdleConnections", "Losers"}
    must(not reapers & played.idle.deadlines.keys(), "an idle pool has no deadline", played.idle)
    must(not played.left, "nothing is left in the end", played.left)


def _check_rest(evidence: Evidence, name: str, rest: Rest) -> None:
    must = evidence.must
    must(rest.clients == 0, "at rest no client's connection is kept", name, rest)
    busy = {state: number for state, number in rest.upstream.items() if number and state != "idle"}
    must(not busy, "at rest no connection is busy", name, rest)
    must(rest.in_flight == rest.waiting == 0, "at rest nothing is in flight", name, rest)
    must(not rest.is_overloaded and rest.rate_limit == inf, "at rest all load is admitted", name, rest)
    allowed = {
        "HttpServer": 1,
        "Name": len(evidence.played.scenario.names),
        "Lookup": len(evidence.played.scenario.names),
        "IdleConnections": 1,
        "Losers": 1,
        "_Once": 1,
    }
    unexpected = {kind: number for kind, number in rest.deadlines.items() if number > allowed.get(kind, 0)}
    must(not unexpected, "at rest no deadline is set", name, unexpected)
    listens = 0 if evidence.played.drained else 1
    must(
        rest.descriptors == OWN_DESCRIPTORS + listens + rest.upstream["idle"],
        "at rest no other descriptor is open", name, rest,
    )  # fmt: skip
    kept = {kind: number for kind, number in rest.alive.items() if kind != "UpstreamConnection"}
    must(not kept, "at rest no request is kept", name, rest)
    must(rest.request_body_bytes == 0, "at rest no body is counted", name, rest)
    must(rest.recorded_bodies == 0, "at rest no body is kept", name, rest)
    must(
        rest.alive.get("UpstreamConnection", 0) == rest.upstream["idle"],
        "no connection is kept after its end", name, rest,
    )  # fmt: skip


def _check_counters(evidence: Evidence) -> None:
    played, must = evidence.played, evidence.must
    counts, seen = played.snapshot, played.seen
    codes = Counter(settled.code for settled in seen.settled) + seen.rejected
    must(counts.requests == dict(codes), "requests are counted", counts.requests, codes)
    must(counts.internal_errors == 0, "there is no internal error", counts.internal_errors)
    must(counts.in_flight == 0, "nothing is in flight", counts.in_flight)
    launched = Counter(launch.number for launches in seen.launches.values() for launch in launches)
    ended = Counter(end.number for end in seen.finished)
    must(ended == launched, "each attempt ends once", launched, ended)
    counted = {number: sum(outcomes.values()) for number, outcomes in counts.attempts.items()}
    expected = {str(number): times for number, times in launched.items()}
    must(counted == expected, "attempts are counted", counted, expected)
    hedges = sum(times for number, times in launched.items() if number > 1)
    must(counts.hedges["fired"] == hedges, "hedges are counted", counts.hedges, hedges)
    won = sum(settled.winner is not None and settled.winner > 1 for settled in seen.settled)
    must(counts.hedges["won"] == won, "hedges that won are counted", counts.hedges, won)
    retries = seen.stale_retries
    must(counts.reused_connection_retries == retries, "what was sent again is counted", retries)
    _check_routes(evidence)
    _check_against_clients(evidence, codes)
    _check_against_upstream(evidence)


def _check_routes(evidence: Evidence) -> None:
    """What is counted by route comes to what is counted in all, and nothing stays in flight on any."""
    counts, must = evidence.played.snapshot, evidence.must
    of_routes = [each for by_upstream in counts.routes.values() for each in by_upstream.values()]
    total = reduce(add, of_routes, RouteCounts())
    must(total.requests == counts.requests, "routes add up to all requests", total.requests, counts.requests)
    must(total.attempts == counts.attempts, "routes add up to all attempts", total.attempts, counts.attempts)
    must(total.hedges == counts.hedges, "routes add up to all hedges", total.hedges, counts.hedges)
    must(total.in_flight == total.attempts_in_flight == 0, "nothing is in flight on a route", total)
    names = {"", *([rule.name for rule in evidence.settings.routes] or [DEFAULT_PATH])}
    must(counts.routes.keys() <= names, "labels are names of routes", *counts.routes)


def _check_against_clients(evidence: Evidence, codes: Counter[str]) -> None:
    """Answers that the worker has counted have come; or their clients did not get to read them."""
    asked = [one for client in evidence.played.clients for one in client.asked]
    first = [one.answers[0] for one in asked if one.answers]
    answered = Counter(one.status for one in first if one.status != 408 or PROBLEM not in one.head)
    unanswered = sum(not one.answers for one in asked)
    unanswered += sum(client.rejected_at_accept for client in evidence.played.clients)
    if evidence.settings.routes:
        answered = _by_outcome(answered)
        if evidence.settings.routes[0].on_all_failed == "last_response":  # that may have any status but 2xx
            answered[502] += answered.pop(408, 0)
    for status, code in _CODES.items():
        evidence.must(
            answered[status] <= codes[code] <= answered[status] + unanswered,
            "answers are counted", code, answered, codes,
        )  # fmt: skip


def _by_outcome(answered: Counter[int]) -> Counter[int]:
    """Count answers that were passed on by the status that the outcome has on the default route."""
    found: Counter[int] = Counter()
    for status, times in answered.items():
        if status in (302, *FINAL_STATUSES):
            found[FINAL_STATUSES[0]] += times
        elif status in (429, 500):
            found[502] += times
        else:
            found[200 if status == 204 else status] += times
    return found


def _check_against_upstream(evidence: Evidence) -> None:
    seen, sent_twice = evidence.played.seen, 0
    for request_id, received in evidence.played.upstream.received.items():
        numbers = Counter(one.number for one in received)
        launched = {launch.number for launch in seen.launches[request_id]}
        evidence.must(set(numbers) <= launched, "the upstream is asked only by attempts", request_id, numbers)
        sent_twice += sum(numbers.values()) - len(numbers)
    evidence.must(
        sent_twice <= seen.stale_retries,
        "an attempt is sent twice only if its connection was closed",
        sent_twice,
    )
