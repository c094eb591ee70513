"""Turns facts into counts and log lines."""

from collections import defaultdict
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from hedgerow.outcomes import Attempt, Failure, Verdict, Won
from hedgerow.settings import AccessLog
from hedgerow.telemetry.snapshot import Histogram, Lag, Snapshot

_OURS = frozenset({"all_failed", "out_of_time", "internal"})
"""Outcomes that are errors towards a caller who did nothing wrong."""


class Recorder:
    """The observer of one worker: plain numbers on the hot path, added up when somebody asks."""

    def __init__(self, log: FilteringBoundLogger, access_log: AccessLog) -> None:
        self._log = log
        self._log_all = access_log is AccessLog.ALL
        self._log_errors = access_log is not AccessLog.OFF
        self._requests: defaultdict[str, int] = defaultdict(int)
        self._durations: defaultdict[str, Histogram] = defaultdict(Histogram)
        self._attempts: defaultdict[tuple[int, str], int] = defaultdict(int)
        self._attempt_durations: defaultdict[str, Histogram] = defaultdict(Histogram)
        self._shed: defaultdict[str, int] = defaultdict(int)
        self._in_flight = 0
        self._hedges_fired = self._hedges_won = self._hedges_rescued = 0
        self._wasted_s = 0.0
        self._client_disconnects = 0
        self._reused_connection_retries = 0
        self._bugs = 0
        self._overshoot = Lag()
        self._lag = Lag()

    # -- the facts (see `events.Observer`)

    def request_began(self) -> None:
        self._in_flight += 1

    def request_ended(self, request_id: bytes, code: str, took_s: float, verdict: Verdict | None) -> None:
        self._in_flight -= 1
        self._requests[code] += 1
        self._durations[code].observe(took_s)
        attempts = verdict.attempts if verdict is not None else ()
        if len(attempts) > 1:
            self._hedges_fired += len(attempts) - 1
            if isinstance(verdict, Won) and verdict.winner.number > 1:
                self._hedges_won += 1
                if isinstance(attempts[0].outcome, Failure):
                    self._hedges_rescued += 1
        if self._log_all or (self._log_errors and code in _OURS):
            self._log_request(request_id, code, took_s, attempts)

    def request_abandoned(self, took_s: float) -> None:
        self._in_flight -= 1
        self._requests["abandoned"] += 1
        self._durations["abandoned"].observe(took_s)
        self._client_disconnects += 1

    def request_rejected(self, code: str, reason: str) -> None:
        self._requests[code] += 1
        if code == "overloaded":
            self._shed[reason] += 1
        if self._log_all:
            self._log.info("request rejected", code=code, reason=reason)

    def bug(self, request_id: bytes) -> None:
        self._bugs += 1
        self._log.exception("a bug of the gateway's ended a request", request_id=request_id.decode("ascii"))

    def attempt_ended(self, attempt: Attempt, *, lost: bool) -> None:
        outcome = attempt.outcome.reason if isinstance(attempt.outcome, Failure) else "success"
        took_s = (attempt.ended_at or attempt.launched_at) - attempt.launched_at
        self._attempts[attempt.number, outcome] += 1
        self._attempt_durations[outcome].observe(took_s)
        if lost:
            self._wasted_s += took_s

    def answered(self, overshoot_s: float) -> None:
        self._overshoot.observe(overshoot_s)

    def turn_took(self, took_s: float) -> None:
        """Hear how long a turn of the event loop was."""
        self._lag.observe(took_s)

    def reused_connection_died(self) -> None:
        self._reused_connection_retries += 1

    # -- what they come to

    def snapshot(self, upstream_connections: dict[str, int], client_connections: int) -> Snapshot:
        """Tell all counts as they are now."""
        attempts: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for (number, outcome), times in self._attempts.items():
            attempts[str(number)][outcome] = times
        return Snapshot(
            requests=dict(self._requests),
            request_duration=dict(self._durations),
            in_flight=self._in_flight,
            attempts=dict(attempts),
            attempt_duration=dict(self._attempt_durations),
            hedges={"fired": self._hedges_fired, "won": self._hedges_won, "rescued": self._hedges_rescued},
            wasted_s=self._wasted_s,
            shed=dict(self._shed),
            client_disconnects=self._client_disconnects,
            reused_connection_retries=self._reused_connection_retries,
            bugs=self._bugs,
            upstream_connections=upstream_connections,
            client_connections=client_connections,
            overshoot=self._overshoot,
            lag=self._lag,
        )

    def _log_request(
        self, request_id: bytes, code: str, took_s: float, attempts: tuple[Attempt, ...]
    ) -> None:
        told = [
            "pending" if attempt.outcome is None
            else attempt.outcome.reason if isinstance(attempt.outcome, Failure)
            else "success"
            for attempt in attempts
        ]  # fmt: skip
        write: Callable[..., object] = self._log.warning if code in _OURS else self._log.info
        write(
            "request",
            request_id=request_id.decode("ascii"),
            code=code,
            took_ms=round(took_s * 1000, 1),
            attempts=told,
        )
