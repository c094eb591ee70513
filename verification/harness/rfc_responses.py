"""RFC 9112's reading of what an upstream sends in answer to one request, with a verdict and its rule."""

import re
from dataclasses import dataclass

from verification.harness.rfc_wire import (
    Fields,
    IncompleteMessageError,
    InvalidMessageError,
    Reader,
    Verdict,
    listed,
    read_chunks,
    read_fields,
    read_length,
)

_STATUS_LINE = re.compile(rb"HTTP/([0-9])\.([0-9]) ([0-9]{3})( .*)?", re.DOTALL)
_BLANK_BEFORE_COLON = "9112 5.1: a blank before the colon of a response, to be removed"


@dataclass(slots=True)
class Response:
    """The final response as the RFC reads it."""

    verdict: Verdict
    rule: str
    """Why it must or may be rejected."""
    status: int = 0
    fields: Fields = ()
    body: bytes = b""
    head_bytes: int = 0
    """Of the final response."""
    is_bodiless: bool = False
    """It has no body, whatever its headers say (section 6.3, rule 1)."""
    surplus: bytes = b""
    """What came behind it."""
    is_reusable: bool = False
    """The connection may be used for another request."""


def read(wire: bytes, *, is_closed: bool, is_head: bool = False) -> Response:
    """Read the answer to one request, GET or HEAD, behind which the upstream has closed or waits."""
    reader = Reader(wire)
    try:
        response = _final(reader, is_closed=is_closed, is_head=is_head)
    except InvalidMessageError as invalid:
        return Response(Verdict.REJECT, str(invalid))
    except IncompleteMessageError:
        return Response(Verdict.INCOMPLETE, reader.lenient)
    response.rule = reader.lenient
    response.verdict = Verdict.EITHER if reader.lenient else Verdict.VALID
    response.surplus = wire[reader.at :]
    is_clean = response.surplus.strip(b"\r\n") == b""  # empty lines are skipped: section 2.2
    response.is_reusable = response.is_reusable and is_clean and not is_closed
    return response


def _final(reader: Reader, *, is_closed: bool, is_head: bool) -> Response:
    while True:
        began = reader.at
        minor, status = _status_line(reader)
        fields = read_fields(reader, blank_before_colon=_BLANK_BEFORE_COLON)
        if status == 101:
            raise InvalidMessageError("9110 7.8: a switch of protocols that was not offered")
        if status >= 200:
            break
        if b"close" in listed(fields, b"connection"):
            reader.lenient = "9112 9.6: a 1xx response that says close"
        if minor == b"0":
            reader.lenient = "9110 15.2: a 1xx response of HTTP/1.0"
    response = Response(Verdict.VALID, "", status, fields, head_bytes=reader.at - began)
    options = listed(fields, b"connection")
    response.is_reusable = b"close" not in options and (minor != b"0" or b"keep-alive" in options)
    codings, length = listed(fields, b"transfer-encoding"), read_length(reader, fields)
    if codings and length is not None:
        reader.lenient = "9112 6.3: a length and a transfer coding"
    elif codings and minor == b"0":
        reader.lenient = "9112 6.1: a transfer coding in HTTP/1.0"
        response.is_reusable = False
    elif codings and codings != [b"chunked"]:
        reader.lenient = "9112 6.1: a transfer coding that was not asked for"
    if is_head or status in (204, 304):
        response.is_bodiless = True
        return response
    if codings[-1:] == [b"chunked"]:
        response.body = read_chunks(reader)
    elif length is not None and not codings:
        response.body = reader.take(length)
    elif is_closed:
        response.body = reader.rest()
    else:
        raise IncompleteMessageError
    return response


def _status_line(reader: Reader) -> tuple[bytes, int]:
    line = reader.line()
    while line == b"":
        reader.lenient = "9112 2.2: an empty line before the status line"
        line = reader.line()
    parsed = _STATUS_LINE.fullmatch(line)
    if parsed is None:
        raise InvalidMessageError("9112 4: the status line")
    major, minor, digits, phrase = parsed.groups()
    if major != b"1":
        raise InvalidMessageError("9110 2.5: another major version")
    if minor > b"1":
        reader.lenient = "9110 2.5: a later minor version"
    if phrase is None:
        reader.lenient = "9112 4: no blank behind the status"
    elif re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", phrase):
        reader.lenient = "9112 4: a control character in the reason phrase"
    if not 100 <= int(digits) <= 599:
        reader.lenient = "9110 15: a status that does not exist"
    return minor, int(digits)
