"""A differential test against h11: what we take for an upstream's answer.

A status and body that we take for an answer, h11 must read alike; a connection that we use again, h11 must find fit
for it. What h11 reads and we reject must be by a stricter rule of ours, written down here a second time.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import h11

from hedgerow.core.outcomes import Failure
from support.one_connection import Answer, read_answer

# -- theirs


@dataclass
class Opinion:
    """What h11 takes some bytes for: an answer, and the first of its heads that count."""

    answer: Answer
    heads: list[h11.Response | h11.InformationalResponse]
    wire: bytes


def opinion_on(data: bytes, *, then_close: bool) -> Opinion | None:
    """Let h11 read one answer to a GET; None if it finds none, or not the whole of one."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    heads: list[h11.Response | h11.InformationalResponse] = []
    body = b""
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, (h11.Response, h11.InformationalResponse)):
                heads.append(event)
            elif isinstance(event, h11.Data):
                body += event.data
            elif then_close:
                connection.receive_data(b"")
                then_close = False
            else:
                return None
    except h11.RemoteProtocolError:
        return None
    left_over = connection.trailing_data[0]
    reusable = connection.their_state is h11.DONE and left_over == b""
    wire = data.removesuffix(left_over)
    return Opinion(Answer(heads[-1].status_code, body, reusable), heads, wire)


# -- the deliberate differences

CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


CHUNKS = re.compile(rb"(?is)transfer-encoding:.*?\n(\r?\n.*)")
NO_CHUNK_LINE = re.compile(
    rb"\n\r?\n(?:.*\n)?[0-9A-Fa-f]+(?!\r\n)(?!(;[!#$%&'*+.^_`|~0-9A-Za-z-]+(=[!#$%&'*+.^_`|~0-9A-Za-z-]+)?)*\r\n)",
    re.DOTALL,
)
"""Behind the head: its lines may begin with such letters, too."""


STRICTER_RULES: dict[str, Callable[[Opinion], bool]] = {
    "another version than 1.0 and 1.1": lambda it: any(
        head.http_version not in (b"1.0", b"1.1") for head in it.heads
    ),
    # RFC 9112 section 2.2 allows to take it for a line's end.
    "a line that ends with LF alone": lambda it: any(b"\n" in line for line in it.wire.split(b"\r\n")),
    # RFC 9112 section 5.2 leaves the choice to refuse it, or to make a blank of it as h11 does.
    "a folded header line": lambda it: re.search(rb"\n[ \t]", it.wire) is not None,
    # RFC 9110 section 5.5: CR, LF and NUL are to be refused; h11 lets the others pass.
    "a control byte": lambda it: (
        CONTROL.search(it.wire) is not None or re.search(rb"\r(?!\n)", it.wire) is not None
    ),
    # h11 makes one of several that say the same, be it in several lines or in one.
    "several lengths": lambda it: (
        len(re.findall(rb"(?i)\ncontent-length:", it.wire)) > 1
        or re.search(rb"(?i)\ncontent-length:[^\n]*,", it.wire) is not None
    ),
    # RFC 9112 section 6.3: "ought to be handled as an error". h11 goes by the chunks.
    "a length and chunks": lambda it: (
        re.search(rb"(?i)\ncontent-length:", it.wire) is not None
        and re.search(rb"(?i)\ntransfer-encoding:", it.wire) is not None
    ),
    # llhttp takes the word of an interim answer for that of the answer; so it does with the version, and 1.0 closes.
    "an interim answer that closes": lambda it: (
        any(head.http_version == b"1.0" for head in it.heads[:-1])
        or any(
            b"close" in value.lower()
            for head in it.heads[:-1]
            for name, value in head.headers
            if name in (b"connection", b"proxy-connection")
        )
    ),
    # RFC 9112 section 7.1.1; h11 does not look at what stands behind a chunk's size.
    "a chunk line that is none": lambda it: (
        (chunks := CHUNKS.search(it.wire)) is not None and NO_CHUNK_LINE.search(chunks[0]) is not None
    ),
}
"""Why we refuse what h11 reads."""


def broken_rules(opinion: Opinion) -> list[str]:
    return [name for name, is_broken in STRICTER_RULES.items() if is_broken(opinion)]


def without_our_leniencies(data: bytes) -> bytes:
    """Rewrite what we accept and h11 does not; of bodies only a chunk's size: the rest of them is theirs."""
    heads, rest = b"", data
    while True:
        # Empty lines before a status line, as RFC 9112 section 2.2 has them for requests.
        head, end, rest = rest.lstrip(b"\r\n").partition(b"\r\n\r\n")
        rewritten = head_without_our_leniencies(head)
        heads += rewritten + end
        if not end or re.match(rb"HTTP/1\.[01] 1", head) is None:
            if b"\r\nTransfer-Encoding: chunked" not in rewritten:
                return heads + rest  # no chunks, whatever it looks like
            # h11 reads 20 digits at most, and reads trailers as it reads headers (RFC 9110 section 6.5: ignored).
            rest = re.sub(rb"(?m)^0{19,}(?=[0-9A-Fa-f]+[\r;])", b"", rest)
            trailer = rb"(?i)(\r\n0+\r\n(?:[^\r\n]+\r\n)*?)transfer-encoding:[^\r\n]*\r\n"
            return heads + re.sub(trailer, rb"\1", rest)


def head_without_our_leniencies(head: bytes) -> bytes:
    line, *fields = head.split(b"\r\n")
    # Reason phrases mean nothing (RFC 9112 section 4); llhttp does not look at them.
    line = re.sub(rb"(?s)^(HTTP/1\.[01] [0-9]{3}) .*", rb"\g<1>", line)
    # A long row of zeros: h11 counts the digits.
    fields = [re.sub(rb"(?i)^(content-length:[ \t]*)0+(?=[0-9])", rb"\g<1>", each) for each in fields]
    codings = [each for each in fields if each.lower().startswith(b"transfer-encoding:")]
    others = [each for each in fields if each not in codings]
    if re.search(rb" (1..|204|304)$", line):
        # RFC 9112 section 6.3, rule 1: these have no body, whatever their headers say.
        codings = []
    elif codings and last_coding(codings) == b"chunked":
        # Rule 4: what is chunked last ends with its last chunk, whatever else was done to it before. (What was
        # done we do not undo, so it will be no JSON.)
        codings = [b"Transfer-Encoding: chunked"]
    elif codings and not any(each.lower().startswith(b"content-length:") for each in others):
        # Rule 4, too: what is not chunked last ends with the connection (FAULTS C7). h11 knows no other coding.
        codings = []
    return b"\r\n".join([line, *others, *codings])


def last_coding(lines: list[bytes]) -> bytes:
    return lines[-1].partition(b":")[2].rpartition(b",")[2].strip(b" \t").lower()


# -- both


def compare(data: bytes, *, then_close: bool) -> Answer | Failure | None:
    """Read, compare, and give back what we make of it."""
    ours = read_answer(data, 1, then_close=then_close)
    if isinstance(ours, Answer):
        opinion = opinion_on(without_our_leniencies(data), then_close=then_close)
        assert opinion is not None, "only we take it for an answer"
        assert (ours.status, ours.body) == (opinion.answer.status, opinion.answer.body)
        # h11 uses no connection of HTTP/1.0 again.
        assert not ours.reusable or opinion.answer.reusable or opinion.heads[-1].http_version == b"1.0"
    else:
        opinion = opinion_on(data, then_close=then_close)
        if opinion is not None:
            assert ours is not None, "we wait, and nothing will come"
            assert broken_rules(opinion) != [], (data, ours)
    in_one_piece = read_answer(data, len(data), then_close=then_close)
    assert type(in_one_piece) is type(ours)
    if isinstance(ours, Answer) and isinstance(in_one_piece, Answer):
        assert (in_one_piece.status, in_one_piece.body) == (ours.status, ours.body)
    return ours
