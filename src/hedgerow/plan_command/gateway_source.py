"""A running gateway to observations: `/status.json?plan=WINDOW` of its admin port."""

from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, build_opener

import msgspec

from hedgerow.plan_command.source import Source, SourceError
from hedgerow.planning.advice import Symptoms
from hedgerow.planning.latency_sketch import BUCKETS, FAILURE_BUCKETS
from hedgerow.planning.observations import Observations
from hedgerow.planning.what_if import Plan

TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 16 * 1024 * 1024


class _Observed(msgspec.Struct):
    """What is read of `/status.json?plan=WINDOW`."""

    window: str
    observations: Observations
    hedge_after_ms: int
    hedges: int
    hedge_on_failure: str
    rejected: float


def read_gateway(url: str, window: str) -> Source:
    """Return what a gateway has observed in a window of `planning.latency_sketch.WINDOWS`; raises SourceError."""
    parts = urlsplit(url if "//" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SourceError(
            f"--from {url!r} is not accepted; the URL of an admin port, as in http://127.0.0.1:8081"
        )
    place = f"{parts.scheme}://{parts.netloc}/status.json"
    observed = _decode(place, _get(f"{place}?plan={window}"))
    plan = Plan(
        observed.hedge_after_ms / 1000, observed.hedges, immediate=observed.hedge_on_failure == "immediate"
    )
    count = observed.observations.count
    if not count:
        raise SourceError(f"{place}: it has observed no request in the last {window}; send it some first")
    said = (
        f"{place}: {count} first attempts of the last {window}, {len(observed.observations.samples)} hedged"
    )
    return Source(observed.observations, Symptoms(observed.rejected), said, plan)


def _get(url: str) -> bytes:
    try:
        with build_opener().open(Request(url), timeout=TIMEOUT_S) as answer:  # noqa: S310 (http or https, as checked)
            body: bytes = answer.read(MAX_BYTES)
    except HTTPError as error:
        raise SourceError(f"{url} answers {error.code}; is it a gateway's admin port?") from None
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason: Any = getattr(error, "reason", None) or error
        raise SourceError(f"{url} cannot be read: {getattr(reason, 'strerror', None) or reason}") from None
    return body


def _decode(place: str, body: bytes) -> _Observed:
    try:
        observed = msgspec.json.decode(body, type=_Observed)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{place} is not of a gateway that observes: {error}") from None
    counts = observed.observations
    if [len(counts.successes), len(counts.failures), len(counts.cuts)] != [BUCKETS, *[FAILURE_BUCKETS] * 2]:
        raise SourceError(f"{place} is of another version of hedgerow: its buckets are others")
    return observed
