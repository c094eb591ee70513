"""The outcome of an attempt and the verdict of a race.

Expected failures are values here, never exceptions: an upstream that fails is the normal case. An exception is an
internal error and propagates to the border of the request (`gateway.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Protocol, TypeAlias


class FailureReason(StrEnum):
    """Why an attempt failed. The names are part of the contract: clients and metric labels have them."""

    CONNECT = "connect"
    """No connection: refused, unreachable, no such host, not in time, or no socket left for it."""
    TLS = "tls"
    """The TCP connection was established, but its TLS handshake failed, for instance by a bad certificate."""
    RESET = "reset"
    """The connection ended before the response was complete."""
    TIMEOUT = "timeout"
    """No response in time."""
    STATUS_429 = "status_429"
    STATUS_5XX = "status_5xx"
    STATUS_OTHER = "status_other"
    """Any other status than 200; redirects too, which are not followed."""
    BAD_JSON = "bad_json"
    """Status 200, and a body that is not UTF-8 JSON."""
    BAD_PAYLOAD = "bad_payload"
    """JSON, but not an object whose `time` is a finite number >= 0."""
    TOO_LARGE = "too_large"
    """A response beyond the limits of `settings.UpstreamLimits`."""
    PROTOCOL = "protocol"
    """Not HTTP/1.x by RFC 9112."""


# Each request makes one of these and one `Won`: frozen costs 0.2 µs each time, and mypyc compiles neither the slots nor
# the `__init__` of dataclasses.
@dataclass(init=False)
class Success:
    """A valid response; `body` is the upstream's JSON object, byte for byte."""

    body: bytes

    def __init__(self, body: bytes) -> None:
        self.body = body


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that cannot win any more. `detail` is for people, `reason` for programs."""

    reason: FailureReason
    detail: str = ""


Outcome: TypeAlias = Success | Failure


class AttemptHandle(Protocol):
    """What the race needs of the connection that an attempt is sent on."""

    def abandon(self) -> None:
        """Called when the race is over and this attempt is still running: it is a loser now. Never raises."""


class AttemptSpan(Protocol):
    """The part of one attempt in a trace."""

    headers: bytes
    """Whole header lines that pass the trace on to the upstream."""

    def attempt_ended(self, attempt: "Attempt", *, lost: bool) -> None:
        """Called when the attempt has its outcome; see `observer.Observer`."""


class Attempt:
    """One request to the upstream, from its start to its outcome; owned by the race that started it.

    `launched_at`, `ended_at` and `deadline_at` (of the request) are instants of the gateway's clock, in seconds.
    `outcome` is None while it runs.
    """

    __slots__ = (
        "_on_end",
        "deadline_at",
        "ended_at",
        "handle",
        "launched_at",
        "number",
        "outcome",
        "request_id",
        "span",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        launched_at: float,
        on_end: Callable[[], None],
        request_id: bytes = b"",
        deadline_at: float = inf,
    ) -> None:
        self.number = number
        self.launched_at = launched_at
        self.ended_at: float | None = None
        self.outcome: Outcome | None = None
        self.handle: AttemptHandle | None = None
        self.span: AttemptSpan | None = None
        self.request_id = request_id
        self.deadline_at = deadline_at
        self._on_end = on_end

    def end(self, outcome: Outcome, at: float) -> None:
        """Report the outcome, once; a second report is an internal error."""
        if self.outcome is not None:
            raise RuntimeError(f"attempt {self.number} ended twice: {self.outcome!r}, then {outcome!r}")
        self.outcome = outcome
        self.ended_at = at
        self._on_end()


@dataclass(init=False)
class Won:
    """The race has a winner: the first success."""

    winner: Attempt
    body: bytes
    attempts: tuple[Attempt, ...]

    def __init__(self, winner: Attempt, body: bytes, attempts: tuple[Attempt, ...]) -> None:
        self.winner = winner
        self.body = body
        self.attempts = attempts


@dataclass(frozen=True, slots=True)
class AllFailed:
    """Every attempt that could be made has failed."""

    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class OutOfTime:
    """The deadline passed first; some attempts may still run, as losers."""

    attempts: tuple[Attempt, ...]


Verdict: TypeAlias = Won | AllFailed | OutOfTime


class RequestTrace(Protocol):
    """The trace that a request is part of, recorded here or not. No method may raise or wait."""

    @property
    def trace_id(self) -> str:
        """The trace's id: 32 hexadecimal digits."""

    def attempt_began(self, attempt: Attempt) -> AttemptSpan:
        """Return the attempt's part of the trace."""

    def request_ended(self, code: str, ended_at: float, verdict: Verdict | None) -> None:
        """Called when the request is answered; attempts without an outcome are losers and report it themselves."""

    def request_abandoned(self, ended_at: float) -> None:
        """Called when the client disconnects."""
