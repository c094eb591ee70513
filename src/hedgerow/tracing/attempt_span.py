"""The part of one attempt in a recorded trace. Its request's: `request_spans.py`."""

from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from hedgerow.core.outcomes import Attempt, Failure, Outcome, outcome_name
from hedgerow.core.trace_context import trace_headers
from hedgerow.core.traces import AttemptPlace
from hedgerow.tracing.span_factory import UNSET, SpanFactory, to_ns


class RecordedAttempt:
    """The span of one attempt (`traces.AttemptSpan`).

    It refers to no attempt and no trace: that would be a reference cycle.
    """

    __slots__ = (
        "_attributes",
        "_context",
        "_factory",
        "_launched_ns",
        "_outcome",
        "_parent",
        "_path",
        "_to_utc_ns",
        "ended_ns",
        "headers",
        "method",
        "number",
        "status",
    )

    def __init__(
        self,
        attempt: Attempt,
        *,
        factory: SpanFactory,
        parent: SpanContext,
        tracestate: bytes,
        method: str,
        path: str,
        upstream: str,
        to_utc_ns: int,
    ) -> None:
        """`path` is what of the endpoint's base URL follows; empty: the URL is whole."""
        self._factory = factory
        self._parent = parent
        self._path = path
        self._to_utc_ns = to_utc_ns
        self.method = method
        self.number = attempt.number
        self._attributes: dict[str, AttributeValue] = {
            "http.request.method": method,
            "hedgerow.upstream": upstream,
        }
        self._launched_ns = to_ns(attempt.launched_at) + to_utc_ns
        self._outcome: Outcome | None = None
        """None before its end, and after its span was made."""
        self.ended_ns = 0
        self.status = 0
        """Of an answer that may be passed on."""
        self._context = context = factory.context(parent)
        traceparent = b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, context.trace_flags)
        self.headers = trace_headers(traceparent, tracestate)

    def sent_to(self, place: AttemptPlace) -> None:
        """Record where it is sent (`traces.AttemptSpan`)."""
        url, host, port, address, address_port = place.described()
        self._attributes |= {
            "server.address": host,
            "server.port": port,
            "network.peer.address": address,
            "network.peer.port": address_port,
            "url.full": url.rstrip("/") + self._path if self._path else url,
        }

    def attempt_finished(self, attempt: Attempt) -> None:
        """Record the outcome; the race of a loser is over, so its span ends here."""
        self._outcome = attempt.outcome
        self.ended_ns = to_ns(attempt.ended_at) + self._to_utc_ns
        answer = None if attempt.outcome is None else attempt.outcome.answer
        if answer is not None:
            self.status = answer.status
        if attempt.is_loser:
            self._end(won=False, loser=True)

    def race_ended(self, winner: int | None) -> None:
        """End the span, unless the attempt still runs or has ended as a loser."""
        if self._outcome is not None:
            self._end(won=self.number == winner, loser=False)

    def _end(self, *, won: bool, loser: bool) -> None:
        outcome, self._outcome = self._outcome, None
        name = str(outcome_name(outcome))
        attributes: dict[str, AttributeValue] = {
            **self._attributes,
            "hedgerow.attempt.number": self.number,
            "hedgerow.attempt.outcome": name,
            "hedgerow.attempt.winner": won,
            "hedgerow.attempt.loser": loser,
        }
        if self.status:
            attributes["http.response.status_code"] = self.status
        status = UNSET
        if isinstance(outcome, Failure) and not loser:  # a loser is neither a failure nor a success
            attributes["error.type"] = name
            status = Status(StatusCode.ERROR, outcome.detail or None)
        self._factory.end(
            self.method,
            SpanKind.CLIENT,
            context=self._context,
            parent=self._parent,
            start_ns=self._launched_ns,
            end_ns=self.ended_ns,
            status=status,
            attributes=attributes,
        )
