"""What one attempt came to, and what the race came to.

Expected failures are values here, never exceptions: an upstream that fails is this program's daily business. An
exception is an internal error and ends at the border of the request (`gateway.py`).
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from mypy_extensions import mypyc_attr

if TYPE_CHECKING:
    from hedgerow.core.request import Request
    from hedgerow.core.traces import AttemptSpan


class FailureReason(StrEnum):
    """Why an attempt failed. The names are part of the contract: clients and metric labels see them."""

    CONNECT = "connect"
    """No connection: refused, unreachable, unknown host, timed out, or no socket left for it."""
    TLS = "tls"
    """TCP connected, but TLS failed: a bad certificate, or an alert of the upstream's."""
    RESET = "reset"
    """The connection ended before the answer was whole."""
    TIMEOUT = "timeout"
    """No answer by the time we gave up on it."""
    STATUS_429 = "status_429"
    STATUS_5XX = "status_5xx"
    STATUS_OTHER = "status_other"
    """Any other status that is no success; redirects too, which are not followed."""
    BAD_JSON = "bad_json"
    """A success by its status, and a body that is not UTF-8 JSON."""
    BAD_PAYLOAD = "bad_payload"
    """JSON, but not what the route asks for: an object, or one whose `time` is a finite number >= 0."""
    SCHEMA = "schema"
    """JSON that the route's JSON Schema does not accept."""
    TOO_LARGE = "too_large"
    """An answer beyond the limits of the route or of `settings.UpstreamLimits`."""
    STREAM = "stream"
    """Server-Sent Events: they do not end, so there is no whole body to wait for."""
    PROTOCOL = "protocol"
    """Not HTTP/1.x by RFC 9112."""


class Answer:
    """A response of the upstream as it is passed on: status, whole header lines, and the body byte for byte."""

    __slots__ = ("body", "has_date", "headers", "is_final", "status")

    def __init__(
        self, status: int, headers: bytes, body: bytes, *, has_date: bool = True, is_final: bool = False
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.has_date = has_date
        """There is a Date among the headers."""
        self.is_final = is_final
        """It is no success by the route's rule, but asking again cannot change it (R05)."""

    def drop(self) -> None:
        """Keep neither headers nor body."""
        self.headers = self.body = b""


# Each request makes some of these and one `Won`: frozen costs 0.2 µs each time, and mypyc compiles neither the slots
# nor the `__init__` of dataclasses.
@mypyc_attr(acyclic=True)
@dataclass(init=False)
class Success:
    """A valid answer; `body` is the upstream's, byte for byte.

    `answer` is there where it is passed on. A final one ends the race, too.
    """

    body: bytes
    answer: Answer | None = field(default=None, repr=False)

    def __init__(self, body: bytes, answer: Answer | None = None) -> None:
        self.body = body
        self.answer = answer

    @property
    def is_final(self) -> bool:
        """Return whether it is a final answer, not a success by the route's rule."""
        return self.answer is not None and self.answer.is_final


@mypyc_attr(acyclic=True)
@dataclass(init=False)
class Failure:
    """An attempt that cannot win any more. `detail` is for people, `reason` for programs."""

    reason: FailureReason
    detail: str = ""
    answer: Answer | None = field(default=None, compare=False, repr=False)
    """Kept where it is passed on if every attempt fails."""

    def __init__(self, reason: FailureReason, detail: str = "", answer: Answer | None = None) -> None:
        self.reason = reason
        self.detail = detail
        self.answer = answer


Outcome: TypeAlias = Success | Failure


def outcome_name(outcome: Outcome | None) -> str:
    """Return an attempt's outcome as it is shown: `pending`, `success`, `final` or the reason of the failure."""
    if outcome is None:
        return "pending"
    if isinstance(outcome, Failure):
        return outcome.reason
    answer = outcome.answer
    return "success" if answer is None or not answer.is_final else "final"


class AttemptHandle(Protocol):
    """What sends an attempt to the upstream: one stream of a connection, from the point of view of the race."""

    def abandon(self) -> None:
        """Make a loser of this attempt: the race is over and it is still running. Never raises."""


class AttemptOwner(Protocol):
    """The race that an attempt belongs to."""

    def on_attempt_finished(self) -> None:
        """Add an attempt that has its outcome, also after the race is over."""


@mypyc_attr(acyclic=True)
class Attempt:
    """One request to the upstream, from its start to its end. Instants are seconds of the gateway's clock.

    `outcome` is None while it runs.
    """

    __slots__ = (
        "_owner", "ended_at", "handle", "is_loser", "launched_at", "number", "outcome", "request", "span",
    )  # fmt: skip

    def __init__(self, number: int, launched_at: float, request: "Request", owner: AttemptOwner) -> None:
        self.number = number
        self.launched_at = launched_at
        self.ended_at = 0.0
        self.outcome: Outcome | None = None
        self.handle: AttemptHandle | None = None
        self.span: AttemptSpan | None = None
        self.request = request
        self.is_loser = False
        """Its race was over before it had an outcome."""
        self._owner: AttemptOwner | None = owner

    def finish(self, outcome: Outcome, at: float) -> None:
        """Report the outcome, once; a second report is an internal error."""
        if self.outcome is not None:
            raise RuntimeError(f"attempt {self.number} finished twice: {self.outcome!r}, then {outcome!r}")
        self.outcome = outcome
        if self.is_loser:
            self.drop_body()
        self.ended_at = at
        self.handle = None
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.on_attempt_finished()

    def drop_body(self) -> None:
        """Keep no body: records of requests keep attempts for a while."""
        outcome = self.outcome
        if isinstance(outcome, Success):
            outcome.body = b""
            if outcome.answer is not None:
                outcome.answer.drop()
        elif outcome is not None and outcome.answer is not None:
            self.outcome = Failure(outcome.reason, outcome.detail)


@mypyc_attr(allow_interpreted_subclasses=True)
class AttemptSender:
    """What a race needs of the upstream."""

    __slots__ = ()

    def send(self, attempt: Attempt) -> AttemptHandle:
        """Send the attempt's request; report by `attempt.finish`, perhaps before returning. Never raises."""
        raise NotImplementedError


@mypyc_attr(acyclic=True)
@dataclass(init=False)
class Won:
    """The race has an answer: the first success, or a final answer."""

    winner: Attempt
    body: bytes
    attempts: tuple[Attempt, ...]

    def __init__(self, winner: Attempt, body: bytes, attempts: tuple[Attempt, ...]) -> None:
        self.winner = winner
        self.body = body
        self.attempts = attempts


@mypyc_attr(acyclic=True)
@dataclass(frozen=True, slots=True)
class AllFailed:
    """Every attempt that could be made has failed."""

    attempts: tuple[Attempt, ...]


@mypyc_attr(acyclic=True)
@dataclass(frozen=True, slots=True)
class OutOfTime:
    """The deadline came first; some attempts may still run, as losers."""

    attempts: tuple[Attempt, ...]


Verdict: TypeAlias = Won | AllFailed | OutOfTime


@mypyc_attr(acyclic=True)
@dataclass(frozen=True, slots=True)
class Aborted:
    """The race ended without a verdict: its client has left, or an internal error has ended it."""

    attempts: tuple[Attempt, ...]


RaceEnd: TypeAlias = Verdict | Aborted
