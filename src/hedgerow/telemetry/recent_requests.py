"""The last requests of one worker with their attempts; described only when the supervisor requests them.

Attempts that have finished hold no body and no connection, so the memory is bounded by the number of entries alone. A
loser that finishes later is seen all the same: the record holds the attempt itself.
"""

from collections import deque
from itertools import islice
from typing import Final, TypeAlias

from hedgerow.core.outcomes import Attempt, Failure, outcome_name
from hedgerow.core.request import Request
from hedgerow.telemetry.request_record import AttemptRecord, RequestRecord

KEPT_REQUESTS: Final = 1_000
"""For each worker: 10 s at 100 requests/s. About 1 MB, or 8 MB if all have queries of the maximum length."""
MAX_FOUND: Final = 100
"""Requests with one id that are returned: describing one takes some 10 µs of the worker's time."""

MAX_DETAIL: Final = 200
"""Characters of an attempt's detail that are shown: some are texts of libraries."""

_Record: TypeAlias = tuple[Request, str, float, int | None, tuple[Attempt, ...], str | None]
"""Request, code, end, number of the winner, attempts, id of the trace."""


class RecentRequests:
    """The last `KEPT_REQUESTS` requests; the first method is on the path of each request."""

    __slots__ = ("_records",)

    def __init__(self) -> None:
        self._records: deque[_Record] = deque(maxlen=KEPT_REQUESTS)

    def request_finished(
        self,
        request: Request,
        code: str,
        ended_at: float,
        winner: int | None,
        attempts: tuple[Attempt, ...],
        trace_id: str | None = None,
    ) -> None:
        """Record a finished request."""
        self._records.append((request, code, ended_at, winner, attempts, trace_id))

    def newest(self, most: int, utc_offset_s: float, route: str | None = None) -> list[RequestRecord]:
        """Return the newest requests, newest first, of one route if it is given.

        `utc_offset_s` makes UTC of an instant of the gateway's clock.
        """
        found = (
            record for record in reversed(self._records) if route is None or record[0].route.name == route
        )
        return [_describe(record, utc_offset_s) for record in islice(found, most)]

    def find(self, request_id: bytes, utc_offset_s: float) -> list[RequestRecord]:
        """Return the requests with this id, newest first: clients may give the same id twice."""
        found = (record for record in reversed(self._records) if record[0].request_id == request_id)
        return [_describe(record, utc_offset_s) for record in islice(found, MAX_FOUND)]


def _describe(record: _Record, utc_offset_s: float) -> RequestRecord:
    request, code, ended_at, winner, attempts, trace_id = record
    arrived_at = request.arrived_at
    return RequestRecord(
        request_id=request.request_id.decode("ascii"),
        route=request.route.name,
        code=code,
        at=round(arrived_at + utc_offset_s, 3),
        took_ms=_milliseconds(ended_at - arrived_at),
        deadline_ms=_milliseconds(request.deadline_at - arrived_at) if attempts else None,
        winner=winner,
        attempts=[
            AttemptRecord(
                number=attempt.number,
                launched_at_ms=_milliseconds(attempt.launched_at - arrived_at),
                took_ms=None
                if attempt.outcome is None
                else _milliseconds(attempt.ended_at - attempt.launched_at),
                outcome=outcome_name(attempt.outcome),
                loser=attempt.is_loser,
                detail=attempt.outcome.detail[:MAX_DETAIL] if isinstance(attempt.outcome, Failure) else "",
            )
            for attempt in attempts
        ],
        hedges_held=request.hedges_held,
        trace_id=trace_id,
    )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
