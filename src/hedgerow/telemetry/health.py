"""Does the upstream behave well? A verdict in words, from the counts of the last seconds. Pure.

The bounds suit an upstream that is unreliable by nature: the one of record fails about every seventh time, and
that is what hedging is for. What alarms is a share that hedging cannot make good.
"""

from dataclasses import dataclass
from enum import StrEnum

from hedgerow.telemetry.snapshot import Snapshot

FAILING = 0.5
"""Share of attempts, or of requests, without success: half of them is failing."""
DEGRADED_ATTEMPTS = 0.25
"""Share of attempts that fail; all three of one request then fail in 1.6 % of cases."""
DEGRADED_REQUESTS = 0.05
"""Share of requests without success: hedging does not make it good any more."""
DEGRADED_SHED = 0.01
"""Share of requests refused with 503."""
FEWEST = 5
"""With fewer attempts than this nothing is said about a share."""
UNTOLD_S = 5.0
"""A worker that has not told its counts for so long is behind or stands still."""


class State(StrEnum):
    """How the upstream behaves."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILING = "failing"
    SILENT = "silent"
    """Nothing is known: hardly anything was asked."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state, and why in words."""

    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class Workers:
    """How the workers are."""

    wanted: int
    ready: int
    untold: int = 0
    """Ready, but without a word for `UNTOLD_S`."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What went well and what did not, in one span of time."""

    attempts: int
    failed: int
    """Attempts that failed; those that `--losers cancel` cut off are not counted as attempts."""
    requests: int
    """Requests that were answered after a race."""
    unserved: int
    """Of these, without success."""
    shed: int

    @classmethod
    def of(cls, counts: Snapshot, *, losers_cut: bool) -> "Shares":
        """Take them from the differences of counts."""
        outcomes = attempts_by_outcome(counts)
        if losers_cut:  # `timeout` says then that another was faster, and nothing about the upstream
            outcomes.pop("timeout", None)
        attempts = sum(outcomes.values())
        unserved = sum(counts.requests.get(code, 0) for code in ("all_failed", "out_of_time", "internal"))
        return cls(
            attempts=attempts,
            failed=attempts - outcomes.get("success", 0),
            requests=unserved + counts.requests.get("success", 0),
            unserved=unserved,
            shed=sum(counts.shed.values()),
        )

    @property
    def attempts_failed(self) -> float:
        """Tell the share of attempts that failed."""
        return self.failed / self.attempts if self.attempts else 0.0

    @property
    def requests_unserved(self) -> float:
        """Tell the share of requests without success."""
        return self.unserved / self.requests if self.requests else 0.0

    @property
    def requests_shed(self) -> float:
        """Tell the share of requests that were refused."""
        return self.shed / (self.requests + self.shed) if self.shed else 0.0


def attempts_by_outcome(counts: Snapshot) -> dict[str, int]:
    """Add attempts up over their numbers."""
    total: dict[str, int] = {}
    for by_outcome in counts.attempts.values():
        for outcome, times in by_outcome.items():
            total[outcome] = total.get(outcome, 0) + times
    return total


def assess(counts: Snapshot, span_s: float, workers: Workers, *, losers_cut: bool) -> Verdict:
    """Judge by the differences of counts over `span_s`; gauges in them are of its end."""
    shares = Shares.of(counts, losers_cut=losers_cut)
    last = f"in the last {span_s:.0f} s"
    if not workers.ready:
        return Verdict(State.FAILING, "No worker serves: callers are not answered.")
    if shares.attempts >= FEWEST and shares.attempts_failed >= FAILING:
        why = f"{_percent(shares.attempts_failed)} of {shares.attempts} attempts failed {last}, {_most(counts)}."
        return Verdict(State.FAILING, why)
    if shares.requests >= FEWEST and shares.requests_unserved >= FAILING:
        why = f"{_percent(shares.requests_unserved)} of {shares.requests} requests got no success {last}"
        return Verdict(State.FAILING, f"{why}{_although(shares)}.")
    worries = _worries(counts, shares, last, workers)
    if worries:
        return Verdict(State.DEGRADED, " ".join(worries))
    if shares.attempts < FEWEST and shares.requests < FEWEST:
        return Verdict(State.SILENT, _silence(counts, shares, last))
    return Verdict(State.HEALTHY, what_succeeded(shares, span_s))


def what_succeeded(shares: Shares, span_s: float) -> str:
    """Say the shares of success in words."""
    return (
        f"{_percent(1 - shares.attempts_failed)} of {shares.attempts} attempts and"
        f" {_percent(1 - shares.requests_unserved)} of {shares.requests} requests succeeded"
        f" in the last {span_s:.0f} s."
    )


def _worries(counts: Snapshot, shares: Shares, last: str, workers: Workers) -> list[str]:
    worries: list[str] = []
    if shares.attempts >= FEWEST and shares.attempts_failed >= DEGRADED_ATTEMPTS:
        worries.append(
            f"{_percent(shares.attempts_failed)} of {shares.attempts} attempts failed {last}, {_most(counts)}."
        )
    if shares.requests >= FEWEST and shares.requests_unserved >= DEGRADED_REQUESTS:
        worries.append(
            f"{_percent(shares.requests_unserved)} of {shares.requests} requests got no success {last}."
        )
    if shares.requests_shed >= DEGRADED_SHED:
        worries.append(
            f"{_percent(shares.requests_shed)} of requests were refused {last}: the gateway is overloaded."
        )
    if workers.untold:
        worries.append(f"{workers.untold} of {workers.wanted} workers do not tell their counts.")
    if workers.ready < workers.wanted:
        worries.append(f"{workers.ready} of {workers.wanted} workers serve.")
    return worries


def _silence(counts: Snapshot, shares: Shares, last: str) -> str:
    if counts.in_flight:
        return f"{_counted(counts.in_flight, 'request')} waiting; {_counted(shares.attempts, 'attempt')} ended {last}."
    if not shares.attempts:
        return f"Nobody asked {last}, so nothing is known about the upstream."
    return f"{_counted(shares.attempts, 'attempt')} ended {last}, {shares.failed} of them failed: too few to judge."


def _although(shares: Shares) -> str:
    """Name the suspect when requests fail though attempts do not."""
    if shares.attempts >= FEWEST and shares.attempts_failed < FAILING:
        return f", though {_percent(1 - shares.attempts_failed)} of attempts succeeded: too slow for the timeouts given"
    return ""


def _most(counts: Snapshot) -> str:
    failures = {
        outcome: times for outcome, times in attempts_by_outcome(counts).items() if outcome != "success"
    }
    return f"most by {max(failures, key=failures.__getitem__)}"


def _percent(share: float) -> str:
    """Round towards the middle, so that "100 %" means all and "0 %" none."""
    tenths = round(share * 1000)
    if 0 < share < 1:
        tenths = min(max(tenths, 1), 999)
    return f"{tenths / 10:g} %"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


class Watch:
    """Notices when the upstream turns bad, and when it is well again. Between the two bounds nothing is news."""

    def __init__(self) -> None:
        self.bad_since: float | None = None

    def look(self, shares: Shares, now: float) -> str | None:
        """Tell `unhealthy` or `recovered` when that is news; `now` is an instant, in seconds."""
        failed = shares.attempts_failed if shares.attempts >= FEWEST else 0.0
        unserved = shares.requests_unserved if shares.requests >= FEWEST else 0.0
        worst = max(failed, unserved)
        if self.bad_since is None and worst >= FAILING:
            self.bad_since = now
            return "unhealthy"
        known = shares.attempts >= FEWEST
        if self.bad_since is not None and known and worst < DEGRADED_ATTEMPTS:
            self.bad_since = None
            return "recovered"
        return None
