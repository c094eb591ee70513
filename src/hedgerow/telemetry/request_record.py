"""One request as the status page and `/status.json` show it."""

import msgspec


class AttemptRecord(msgspec.Struct, forbid_unknown_fields=True):
    """One attempt of a request; spans are milliseconds, `launched_at_ms` counts from the request's arrival."""

    number: int
    launched_at_ms: float
    took_ms: float | None
    """Null while it runs."""
    outcome: str
    """`success`, `final`, a reason, or `pending`."""
    loser: bool = False
    """It was still running when its race was over."""
    detail: str = ""
    """More in words: the number of a status, the reason of a TLS failure."""


class RequestRecord(msgspec.Struct, forbid_unknown_fields=True):
    """One finished request that was admitted."""

    request_id: str
    route: str
    """Its name."""
    code: str
    """What its client got, as in `hedgerow_requests_total`."""
    at: float
    """When it arrived: seconds since 1970, UTC."""
    took_ms: float
    deadline_ms: float | None
    """Its response deadline, since its arrival."""
    winner: int | None
    """The number of the winning attempt."""
    attempts: list[AttemptRecord]
    hedges_held: int = 0
    """Hedges that were due and not sent, so as not to make an outage worse."""
    trace_id: str | None = None
    """The id of its trace, given by the client or by the gateway."""
