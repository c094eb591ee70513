"""A running gateway to observations: `/status.json?plan=WINDOW&route=NAME` of its admin port."""

from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from hedgerow.plan_command.source import Source, SourceError
from hedgerow.planning.advice import Symptoms
from hedgerow.planning.latency_sketch import BUCKETS, FAILURE_BUCKETS
from hedgerow.planning.observations import Observations
from hedgerow.planning.what_if import Plan
from hedgerow.settings import InvalidSetting, parse_target

TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 16 * 1024 * 1024


class _Hedging(msgspec.Struct):
    route: str
    configured_by: str
    hedge_after_ms: int
    hedges: int
    hedge_on_failure: str


class _Observed(msgspec.Struct):
    """What is read of `/status.json?plan=WINDOW`."""

    observations: Observations
    hedging: _Hedging
    rejected: float


class _Problem(msgspec.Struct):
    """What is read of an error (RFC 9457)."""

    code: str
    detail: str


def read_gateway(url: str, window: str, route: str | None) -> Source:
    """Return what a gateway has observed of a route in a window of `latency_sketch.WINDOWS`; raises SourceError.

    Where it has one route, that needs no name.
    """
    try:
        target = parse_target(url if "//" in url else f"http://{url}")
    except InvalidSetting:
        raise SourceError(
            f"--from {url!r} is not accepted; the URL of an admin port, as in http://127.0.0.1:8081"
        ) from None
    place = f"{target.scheme}://{target.authority}/status.json"
    wanted = {"plan": window} if route is None else {"plan": window, "route": route}
    observed = _decode(place, _get(f"{place}?{urlencode(wanted)}"))
    hedging = observed.hedging
    plan = Plan(
        hedging.hedge_after_ms / 1000, hedging.hedges, immediate=hedging.hedge_on_failure == "immediate"
    )
    count = observed.observations.count
    if not count:
        raise SourceError(
            f"{place}: it has observed no request of {hedging.route} in the last {window}; send it some first"
        )
    samples = len(observed.observations.samples)
    said = f"{place}: {count} first attempts of {hedging.route} in the last {window}, {samples} hedged"
    route_of_file = hedging.route if hedging.configured_by == "file" else None
    return Source(observed.observations, Symptoms(observed.rejected), said, plan, route_of_file)


def _get(url: str) -> bytes:
    try:
        with build_opener(ProxyHandler({})).open(Request(url), timeout=TIMEOUT_S) as answer:  # noqa: S310 (http or https, as checked)
            body: bytes = answer.read(MAX_BYTES)
    except HTTPError as error:
        raise SourceError(
            _problem(error) or f"{url} answers {error.code}; is it a gateway's admin port?"
        ) from None
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason: Any = getattr(error, "reason", None) or error
        raise SourceError(f"{url} cannot be read: {getattr(reason, 'strerror', None) or reason}") from None
    return body


def _problem(error: HTTPError) -> str:
    """Return what a gateway says is wrong with the route; empty if it says something else, or is none."""
    try:
        problem = msgspec.json.decode(error.read(MAX_BYTES), type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, HTTPException, OSError):
        return ""
    return f"--route: {problem.detail}" if problem.code == "not_found" and "route" in problem.detail else ""


def _decode(place: str, body: bytes) -> _Observed:
    try:
        observed = msgspec.json.decode(body, type=_Observed)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{place} is not of a gateway that observes: {error}") from None
    counts = observed.observations
    if [len(counts.successes), len(counts.failures), len(counts.cuts)] != [BUCKETS, *[FAILURE_BUCKETS] * 2]:
        raise SourceError(f"{place} is of another version of hedgerow: its buckets are others")
    return observed
