"""The last requests of one worker, with their attempts: kept as plain tuples, told in words when somebody asks.

What is kept holds no body, connection or coroutine alive, so the memory is bounded by the number of entries alone.
Attempts that lose end after their request has been noted; they are kept in a row of their own and joined later.
"""

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Final, TypeAlias

from hedgerow.core.outcomes import Attempt, Failure
from hedgerow.telemetry.told import AttemptTold, RequestTold

KEPT_REQUESTS: Final = 1_000
"""For each worker: at 100 requests/s, what a person who comes to look may still find; about 0.5 MB."""

_Told: TypeAlias = tuple[int, float, float | None, str | None]
"""An attempt: number, launched at, ended at, outcome."""
_Noted: TypeAlias = tuple[bytes, str, float, float, float | None, int | None, tuple[_Told, ...], str | None]
"""A request: id, code, arrived at, ended at, deadline, number of the winner, attempts as they stood at its end, id of
its trace."""


class Recent:
    """The last `KEPT_REQUESTS` requests; the first two methods are on the path of each request."""

    def __init__(self, max_attempts: int) -> None:
        self._requests: deque[_Noted] = deque(maxlen=KEPT_REQUESTS)
        self._losers: deque[tuple[bytes, _Told]] = deque(maxlen=KEPT_REQUESTS * max_attempts)

    def request_ended(
        self,
        request_id: bytes,
        code: str,
        arrived_at: float,
        ended_at: float,
        winner: int | None,
        attempts: tuple[Attempt, ...],
        trace_id: str | None = None,
    ) -> None:
        """Note a request that is over."""
        if len(attempts) == 1:  # the usual case, without a generator: 0.2 µs less
            told: tuple[_Told, ...] = (_told(attempts[0]),)
        else:
            told = tuple(map(_told, attempts))
        deadline_at = attempts[0].deadline_at if attempts else None
        self._requests.append((request_id, code, arrived_at, ended_at, deadline_at, winner, told, trace_id))

    def loser_ended(self, attempt: Attempt) -> None:
        """Note the end of an attempt whose race was over."""
        self._losers.append((attempt.request_id, _told(attempt)))

    def newest(self, most: int, offset_s: float) -> list[RequestTold]:
        """Tell the newest requests, newest first. `offset_s` makes UTC of an instant of the gateway's clock."""
        return self._tell(list(islice(reversed(self._requests), most)), offset_s)

    def find(self, request_id: bytes, offset_s: float) -> list[RequestTold]:
        """Tell the requests with this id, newest first: callers may give the same id twice."""
        return self._tell([noted for noted in reversed(self._requests) if noted[0] == request_id], offset_s)

    def _tell(self, requests: list[_Noted], offset_s: float) -> list[RequestTold]:
        wanted = {noted[0] for noted in requests}
        losers = [loser for loser in self._losers if loser[0] in wanted]
        return [_describe(noted, losers, offset_s) for noted in requests]


def _told(attempt: Attempt) -> _Told:
    outcome = attempt.outcome
    if outcome is None:
        return attempt.number, attempt.launched_at, None, None
    told = outcome.reason if isinstance(outcome, Failure) else "success"
    return attempt.number, attempt.launched_at, attempt.ended_at, told


def _describe(noted: _Noted, losers: Iterable[tuple[bytes, _Told]], offset_s: float) -> RequestTold:
    request_id, code, arrived_at, ended_at, deadline_at, winner, told, trace_id = noted
    attempts = {attempt[0]: attempt for attempt in told}
    lost = {number for number, _, ends_at, _ in told if ends_at is None}
    for loser_id, loser in losers:
        number, launched_at, *_ = loser
        if loser_id == request_id and arrived_at <= launched_at <= ended_at:
            attempts[number] = loser
            lost.add(number)
    return RequestTold(
        request_id=request_id.decode("ascii"),
        code=code,
        at=round(arrived_at + offset_s, 3),
        took_ms=_milliseconds(ended_at - arrived_at),
        deadline_ms=None if deadline_at is None else _milliseconds(deadline_at - arrived_at),
        winner=winner,
        attempts=[
            AttemptTold(
                number=number,
                launched_at_ms=_milliseconds(launched_at - arrived_at),
                took_ms=None if ends_at is None else _milliseconds(ends_at - launched_at),
                outcome=outcome or "pending",
                lost=number in lost,
            )
            for number, launched_at, ends_at, outcome in sorted(attempts.values())
        ],
        trace_id=trace_id,
    )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
