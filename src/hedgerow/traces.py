"""The trace that a caller's request belongs to, by W3C Trace Context (https://www.w3.org/TR/trace-context-2/).

It is passed on to the upstream whether or not we record anything: who asked us can then find what the upstream did
for it. What is not valid is not passed on; the specification then counts the request as one without a trace.
"""

import re

MAX_TRACESTATE_BYTES = 512
"""What section 3.3.1.5 asks of those who pass it on; a longer one is left out. Each attempt carries it."""
MAX_TRACESTATE_MEMBERS = 32
"""Section 3.3.1.1."""

_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[!-+\--~]*)?"
)
"""Sections 3.2.2 and 3.2.4: version, trace id, id of the parent span, flags. Only versions after 00 may have more; a
comma would be where a second `traceparent` was joined to the first, and two are as good as none."""

_MEMBER = re.compile(rb"([a-z0-9][a-z0-9_\-*/@]{0,255})=[ -+\--<>-~]{0,255}[!-+\--<>-~]")
"""Section 3.3.1.3: a key, and a value that does not end with a blank."""

_SAMPLED = 0x01


class TraceContext:
    """What a caller told of its trace; passed on unchanged, it is the whole of the trace for us (`outcomes.Trace`)."""

    __slots__ = ("headers", "parent_id", "sampled", "trace_id", "tracestate")

    def __init__(self, trace_id: str, parent_id: str, flags: bytes, tracestate: bytes) -> None:
        self.trace_id = trace_id
        self.parent_id = parent_id
        """The caller's span."""
        self.sampled = bool(int(flags, 16) & _SAMPLED)
        """The caller records it."""
        self.tracestate = tracestate
        self.headers = trace_headers(
            b"00-%b-%b-%b" % (trace_id.encode(), parent_id.encode(), flags), tracestate
        )

    def attempt_began(self, attempt: object) -> "TraceContext":  # noqa: ARG002
        """Tell the part of an attempt in the trace: all have the caller's span as their parent."""
        return self

    def attempt_ended(self, attempt: object, *, lost: bool) -> None:
        """Record nothing."""

    def request_ended(self, code: str, ended_at: float, verdict: object) -> None:
        """Record nothing."""

    def request_abandoned(self, ended_at: float) -> None:
        """Record nothing."""


def trace_headers(traceparent: bytes, tracestate: bytes) -> bytes:
    """Write header lines for the upstream."""
    if tracestate:
        return b"traceparent: %b\r\ntracestate: %b\r\n" % (traceparent, tracestate)
    return b"traceparent: %b\r\n" % traceparent


def parse_trace_context(traceparent: bytes, tracestate: bytes) -> TraceContext | None:
    """Read a caller's two headers, several of one name joined by commas. None if there is no valid `traceparent`.

    A `tracestate` that is not valid is left out; it does not make the `traceparent` invalid (section 3.3.1).
    """
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace_id, parent_id, flags, more = found.groups()
    if more is not None and traceparent[:2] == b"00":
        return None
    return TraceContext(trace_id.decode(), parent_id.decode(), flags, _valid_tracestate(tracestate))


def _valid_tracestate(value: bytes) -> bytes:
    """Tell the list without blanks and empty members between; nothing if it is not valid."""
    if len(value) > MAX_TRACESTATE_BYTES:
        return b""
    members = [member for part in value.split(b",") if (member := part.strip(b" \t"))]
    found = [_MEMBER.fullmatch(member) for member in members]
    keys = {match[1] for match in found if match is not None}
    if len(keys) != len(members) or len(members) > MAX_TRACESTATE_MEMBERS:  # an unsound member has no key
        return b""
    return b",".join(members)
