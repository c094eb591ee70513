"""The last requests of one worker, with their attempts: kept as plain lists, described when somebody asks.

What is kept holds no body, connection or coroutine alive, so the memory is bounded by the number of entries alone. A
loser finishes after its request was recorded; it is added to the record by its request, in O(1) whatever ids come.
"""

from collections import deque
from itertools import islice
from typing import Any, Final, TypeAlias

from hedgerow.core.outcomes import Attempt, Failure
from hedgerow.core.request import Request
from hedgerow.telemetry.request_record import AttemptRecord, RequestRecord

KEPT_REQUESTS: Final = 1_000
"""For each worker: at 100 requests/s, what a person who comes to look may still find; about 0.5 MB."""
MAX_FOUND: Final = 100
"""Requests with one id that are returned: describing one takes some 10 µs of the worker's time."""

_Attempt: TypeAlias = tuple[int, float, float | None, str | None, bool]
"""Number, start, end, outcome, and whether its race was over before it had one."""
_ID, _CODE, _ARRIVED, _ENDED, _DEADLINE, _WINNER, _TRACE_ID, _ATTEMPTS = range(8)
"""Where a record has what. The attempts as they were when the request ended are its last item; losers that finish
later follow it."""


class RecentRequests:
    """The last `KEPT_REQUESTS` requests; the first two methods are on the path of each request."""

    __slots__ = ("_requests",)

    def __init__(self) -> None:
        self._requests: deque[list[Any]] = deque(maxlen=KEPT_REQUESTS)

    def request_finished(
        self,
        request: Request,
        code: str,
        ended_at: float,
        winner: int | None,
        attempts: tuple[Attempt, ...],
        trace_id: str | None = None,
    ) -> None:
        """Record a request that is over."""
        if len(attempts) == 1:  # the usual case, without a generator: 0.2 µs less
            kept: tuple[_Attempt, ...] = (_kept(attempts[0]),)
        else:
            kept = tuple(map(_kept, attempts))
        record = [
            request.request_id, code, request.arrived_at, ended_at, request.deadline_at, winner, trace_id, kept,
        ]  # fmt: skip
        request.record = record
        self._requests.append(record)

    def loser_finished(self, attempt: Attempt) -> None:
        """Record the end of an attempt whose race was over."""
        record = attempt.request.record
        if record is not None:
            record.append(_kept(attempt))

    def newest(self, most: int, utc_offset_s: float) -> list[RequestRecord]:
        """Return the newest requests, newest first. `utc_offset_s` makes UTC of an instant of the gateway's clock."""
        return [_describe(record, utc_offset_s) for record in islice(reversed(self._requests), most)]

    def find(self, request_id: bytes, utc_offset_s: float) -> list[RequestRecord]:
        """Return the requests with this id, newest first: clients may give the same id twice."""
        found = (record for record in reversed(self._requests) if record[_ID] == request_id)
        return [_describe(record, utc_offset_s) for record in islice(found, MAX_FOUND)]


def _kept(attempt: Attempt) -> _Attempt:
    outcome = attempt.outcome
    if outcome is None:
        return attempt.number, attempt.launched_at, None, None, True
    name = outcome.reason if isinstance(outcome, Failure) else "success"
    return attempt.number, attempt.launched_at, attempt.ended_at, name, attempt.is_loser


def _describe(record: list[Any], utc_offset_s: float) -> RequestRecord:
    arrived_at, ended_at, deadline_at = record[_ARRIVED], record[_ENDED], record[_DEADLINE]
    attempts = {attempt[0]: attempt for attempt in (*record[_ATTEMPTS], *record[_ATTEMPTS + 1 :])}
    return RequestRecord(
        request_id=record[_ID].decode("ascii"),
        code=record[_CODE],
        at=round(arrived_at + utc_offset_s, 3),
        took_ms=_milliseconds(ended_at - arrived_at),
        deadline_ms=_milliseconds(deadline_at - arrived_at) if attempts else None,
        winner=record[_WINNER],
        attempts=[
            AttemptRecord(
                number=number,
                launched_at_ms=_milliseconds(launched_at - arrived_at),
                took_ms=None if finished_at is None else _milliseconds(finished_at - launched_at),
                outcome=outcome or "pending",
                lost=is_loser,
            )
            for number, launched_at, finished_at, outcome, is_loser in sorted(attempts.values())
        ],
        trace_id=record[_TRACE_ID],
    )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
