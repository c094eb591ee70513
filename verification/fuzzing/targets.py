"""What is fuzzed. Each target takes bytes, and raises where an invariant is broken; what it raises is the finding."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from hedgerow.core.outcomes import Failure, FailureReason, Outcome, Success
from hedgerow.core.request import Request
from hedgerow.core.response_validation import classify_response
from hedgerow.core.timeout_param import InvalidTimeout, parse_timeout_ms
from hedgerow.core.trace_context import parse_trace_context
from hedgerow.server.request_cache import ParsedRequestCache
from hedgerow.server.request_parser import RequestParser
from hedgerow.server.request_rejected import RequestRejected
from hedgerow.server.whole_head import WholeHeads
from hedgerow.settings import ClientLimits, UpstreamLimits
from hedgerow.upstream.connection import IDLE
from support import answer_differential, request_differential
from support.one_connection import OneConnection
from verification.harness.hostile_responses import is_payload

DEFAULT_MS, MAX_MS = 10_000, 60_000
CLIENT = ClientLimits(max_target_bytes=128, max_header_bytes=256, max_headers=8, parse_chunk_bytes=64)
UPSTREAM = UpstreamLimits(max_body_bytes=256, max_head_bytes=256, max_wire_bytes=1024)
"""Small ones, so that small inputs meet them."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something that reads what strangers send."""

    read: Callable[[bytes], None]
    runs: int
    """At full size."""
    words: tuple[bytes, ...]
    """What its language is made of."""


# -- the client's side


def query(data: bytes) -> None:
    """Read `timeout`, and have the standard library read it, too."""
    timeout = parse_timeout_ms(data, default_ms=DEFAULT_MS, max_ms=MAX_MS)
    if isinstance(timeout, InvalidTimeout):
        assert timeout.detail.isascii(), "a refusal can be shown"
        assert len(timeout.detail) < 300, "in a line"
    else:
        assert 1 <= timeout <= MAX_MS, "a timeout is within its bounds"
    pairs = parse_qsl(data.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    given = [value for name, value in pairs if name == "timeout"]
    right: int | None = DEFAULT_MS
    if given:
        sound = len(given) == 1 and re.fullmatch("0*[1-9][0-9]*", given[0]) is not None
        digits = given[0].lstrip("0")
        right = (min(int(digits), MAX_MS) if len(digits) < 9 else MAX_MS) if sound else None
    parsed = None if isinstance(timeout, InvalidTimeout) else timeout
    assert parsed == right, f"the standard library reads the same timeout: {right}, not {parsed}"


_TRACE_LINES = re.compile(
    rb"traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\r\n(tracestate: [ -~]{1,512}\r\n)?"
)


def trace(data: bytes) -> None:
    """Read both headers of a trace, which a line end parts."""
    traceparent, _, tracestate = data.partition(b"\n")
    context = parse_trace_context(traceparent, tracestate)
    if context is None:
        return
    assert _TRACE_LINES.fullmatch(context.headers) is not None, (
        "what is passed on is two sound header lines at most"
    )
    assert int(context.trace_id, 16) > 0, "a trace has an id"
    assert int(context.parent_id, 16) > 0, "and a parent"
    assert context.sampled == bool(context.flags & 1), "and a flag"
    again = parse_trace_context(context.headers[13:68], context.tracestate)
    assert again is not None, "what is passed on is valid"
    assert again.headers == context.headers, "and is read alike"


def read_heads(wire: bytes, piece_bytes: int, cache: ParsedRequestCache) -> tuple[list[Request], str | None]:
    """Parse up to the first request that ends its connection. Anything but RequestRejected flies."""
    found: list[Request] = []
    parser = RequestParser(CLIENT, found.append, WholeHeads(CLIENT, lambda: b"ours", cache, passed_on=False))
    refused = None
    try:
        for at in range(0, len(wire), piece_bytes):
            parser.feed(wire[at : at + piece_bytes], 0.0)
            held = max(len(parser._rtsp.line), len(parser._target), parser._pending)
            bound = CLIENT.max_target_bytes + CLIENT.max_header_bytes + CLIENT.parse_chunk_bytes
            assert held <= bound, "what is held of a head is bounded"
    except RequestRejected as rejected:
        refused = rejected.code
        parser.error_response(rejected)
    finally:
        parser.close()
    for number, request in enumerate(found):
        if not request.keep_alive:
            return found[: number + 1], None
    return found, refused


_METHOD = re.compile(rb"[A-Z-]+")
_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_TARGET_BYTES = re.compile(rb"[^\x00-\x20\x7f#]*")


def heads(data: bytes) -> None:
    """Read request heads: the first byte says into what pieces the others are cut."""
    size, wire = data[:1], data[1:]
    cache = ParsedRequestCache()
    found, refused = read_heads(wire, CLIENT.parse_chunk_bytes, cache)
    for request in found:
        assert _METHOD.fullmatch(request.method), "a method is a word"
        assert _TARGET_BYTES.fullmatch(request.path + request.query), (
            "a target has no blank and no control byte"
        )
        assert _ID.fullmatch(request.request_id), "an id is printable"
    again, refused_again = read_heads(wire, CLIENT.parse_chunk_bytes, cache)
    assert (_request_heads(again), refused_again) == (_request_heads(found), refused), (
        "who has read it before reads it alike"
    )
    if size:
        in_pieces, refused_then = read_heads(wire, 1 + size[0] % 64, cache)
        # The bytes of a part that is not whole count as they come.
        if "too_large" not in (refused, refused_then):
            assert (_request_heads(in_pieces), refused_then) == (_request_heads(found), refused), (
                "it does not matter how the bytes come"
            )


def _request_heads(requests: list[Request]) -> list[tuple[bytes, bytes, bytes, bool, bytes]]:
    return [(each.method, each.path, each.query, each.keep_alive, each.request_id) for each in requests]


def heads_and_h11(data: bytes) -> None:
    """Read request heads, and have h11 read them."""
    request_differential.compare(data)


# -- the upstream's side


def payload(data: bytes) -> None:
    """Judge a body, and have the standard library judge it."""
    outcome = classify_response(200, data)
    if isinstance(outcome, Success):
        assert outcome.body is data, "a success is passed on byte for byte"
        assert is_payload(data), "the standard library finds a number of 0 or more"
    else:
        assert outcome.reason in (FailureReason.BAD_JSON, FailureReason.BAD_PAYLOAD), (
            "a 200 fails for its body"
        )
        if outcome.reason is FailureReason.BAD_PAYLOAD:
            assert is_json(data), "what is no payload is JSON nevertheless"
    assert isinstance(classify_response(500, data), Failure), "no body makes a success of a 500"


def is_json(data: bytes) -> bool:
    """Judge by the standard library, which has no limit but that of the stack, and one on digits."""
    try:
        json.loads(data.decode(), parse_int=float)
    except (ValueError, RecursionError):
        return False
    return True


def read_answer(wire: bytes, piece_bytes: int, *, then_close: bool) -> tuple[Outcome | None, int, bool]:
    """Return what an upstream's bytes come to, their status, and whether the connection may be used again."""
    one = OneConnection(limits=UPSTREAM)
    one.open()
    connection, attempt = one.connection, one.attempt
    for at in range(0, len(wire), piece_bytes):
        one.receive(wire[at : at + piece_bytes])
        assert len(connection._response._head) <= UPSTREAM.max_head_bytes + piece_bytes, (
            "a head that is held is bounded"
        )
        assert len(connection._response._body) <= UPSTREAM.max_body_bytes + piece_bytes, (
            "a body that is held is bounded"
        )
    is_idle = connection.state == IDLE
    if then_close:
        one.receive(b"")
    connection.close()
    return attempt.outcome, one.status, is_idle


def answers(data: bytes) -> None:
    """Read an answer: the first byte says into what pieces the others are cut, and whether the connection ends."""
    choice, wire = data[:1], data[1:]
    if not choice:
        return
    then_close = bool(choice[0] & 1)
    outcome, status, is_idle = read_answer(wire, len(wire) or 1, then_close=then_close)
    in_pieces, status_then, _ = read_answer(wire, 1 + choice[0] // 4, then_close=then_close)
    if is_too_large(outcome) or is_too_large(
        in_pieces
    ):  # the bytes of a part that is not whole count as they come
        return
    assert type(outcome) is type(in_pieces), "it does not matter how the bytes come"
    assert status == status_then, "nor to the status"
    if isinstance(outcome, Success):
        assert outcome == in_pieces, "nor to the body"
    elif isinstance(outcome, Failure):
        assert not is_idle, "a connection that failed is not used again"
    if then_close:
        assert outcome is not None, "the end of the connection ends the attempt"


def is_too_large(outcome: Outcome | None) -> bool:
    """Return whether an answer met a limit."""
    return isinstance(outcome, Failure) and outcome.reason is FailureReason.TOO_LARGE


def answers_and_h11(data: bytes) -> None:
    """Read an answer, and have h11 read it."""
    if len(data) > 1:
        answer_differential.compare(data[1:], then_close=bool(data[0] & 1))


_HTTP = (
    b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\r\n\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n",
    b"0\r\n\r\n", b"Connection: close\r\n", b"chunked", b" ", b"\t", b":", b"0", b"5",
)  # fmt: skip
_REQUEST = (
    *_HTTP, b"GET ", b"HEAD ", b"POST ", b"OPTIONS * ", b"CONNECT ", b"/api/smart", b"?timeout=", b"Host: x\r\n",
    b"http://", b" RTSP/1.0", b"Expect: 100-continue\r\n", b"X-Request-Id: a\r\n", b"traceparent: ",
    b"Upgrade: h2c\r\n", b"#",
)  # fmt: skip
_ANSWER = (
    *_HTTP, b" 200 OK\r\n", b" 100 Continue\r\n\r\n", b" 204 ", b" 304 ", b" 101 ", b'{"time":1}', b";x=y",
)  # fmt: skip

TARGETS = {
    "query": Target(
        query, 2_500_000,
        (b"timeout=", b"timeout", b"&", b"=", b"%", b"+", b"%74", b"0", b"900", b"60000", b";"),
    ),
    "trace": Target(
        trace, 3_500_000,
        (b"00-", b"-01", b"-", b"\n", b",", b"=", b"a=b", b"ff", b"0" * 32, b"a" * 16, b" ", b"@", b"cc-"),
    ),
    "payload": Target(
        payload, 3_000_000,
        (
            b'{"time":', b'"time"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"-", b"1e9", b"0.",
            b"\\u", b"\\ud800", b"E+", b"NaN", b'"', b"\xe4", b"\xf0\x9f\x98\x80", b"1e999", b"9" * 20,
        ),
    ),
    "heads": Target(heads, 700_000, _REQUEST),
    "answers": Target(answers, 500_000, _ANSWER),
    "heads_and_h11": Target(heads_and_h11, 50_000, _REQUEST),
    "answers_and_h11": Target(answers_and_h11, 50_000, _ANSWER),
}  # fmt: skip
