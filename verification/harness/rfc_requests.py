"""RFC 9112's reading of requests: what came over one connection, one after the other, each with a verdict."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from verification.harness.rfc_wire import (
    TOKEN,
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

_REQUEST_LINE = re.compile(rb"(%b)( +)([^\x00-\x20\x7f]+)( +)HTTP/([0-9])\.([0-9])" % TOKEN)
_OTHER_VERSION = re.compile(rb"%b [^ \x00-\x20\x7f]+(?: HTTP/[0-9.]+)?" % TOKEN)
_OTHER_PROTOCOL = re.compile(rb"%b [^ \x00-\x20\x7f]+ [A-Z]+/[0-9]\.[0-9]" % TOKEN)
_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.%]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]*)(?::[0-9]*)?")


@dataclass(slots=True)
class Request:
    """One request as the RFC reads it."""

    verdict: Verdict
    rule: str
    """Why it must or may be rejected; of an incomplete one, why it may be at once."""
    method: bytes = b""
    target: bytes = b""
    version: bytes = b""
    fields: Fields = ()
    body: bytes = b""
    in_body: bool = False
    """Incomplete or invalid behind a whole head."""
    length: int = 0
    """The Content-Length of an incomplete one."""

    @property
    def has_body(self) -> bool:
        """Whether it says that a body follows."""
        names = {name for name, _ in self.fields}
        return b"transfer-encoding" in names or self.body != b""


def read(wire: bytes) -> Iterator[Request]:
    """Yield the requests up to the first after which the rest has no sure meaning."""
    reader = Reader(wire)
    while wire[reader.at :].strip(b"\r\n"):
        reader.begin()
        try:
            request, is_last = _request(reader)
        except InvalidMessageError as invalid:
            yield Request(Verdict.REJECT, str(invalid), in_body=reader.in_body)
            return
        except IncompleteMessageError:
            rule = reader.lenient or ("9112 3: a line without its end" if reader.is_in_line else "")
            yield Request(Verdict.INCOMPLETE, rule, in_body=reader.in_body, length=reader.length)
            return
        yield request
        if is_last or request.verdict is not Verdict.VALID:
            return


def _request(reader: Reader) -> tuple[Request, bool]:
    """Read one request; return it, and whether it is the last one of its connection."""
    line = reader.line()
    while line == b"":
        reader.lenient = "9112 2.2: an empty line before the request line"
        line = reader.line()
    if line.startswith(b"\r"):
        reader.lenient = "9112 2.2: a bare CR before the request line"
    parsed = _REQUEST_LINE.fullmatch(line.lstrip(b"\r"))
    if parsed is None:
        raise InvalidMessageError(_what_is_wrong(line))
    method, before, target, behind, major, minor = parsed.groups()
    if major != b"1":
        raise InvalidMessageError("9110 2.5: another major version")
    if method == b"PRI":
        raise InvalidMessageError("9113 3.4: the preface of HTTP/2")
    if b"#" in target or not target.isascii():
        raise InvalidMessageError("9112 3.2: a fragment in the target, or what is not ASCII")
    if (before, behind) != (b" ", b" "):
        reader.lenient = "9112 3: several blanks in the request line"
    if minor > b"1":
        reader.lenient = "9110 2.5: a later minor version"
    fields = read_fields(reader)
    _check_host(fields, minor)
    reader.in_body = True
    body = _body(reader, fields, minor)
    options = listed(fields, b"connection")
    is_last = method == b"CONNECT" or b"close" in options or (minor == b"0" and b"keep-alive" not in options)
    verdict = Verdict.EITHER if reader.lenient else Verdict.VALID
    version = b"1." + minor
    return Request(verdict, reader.lenient, method, target, version, fields, body), is_last


def _what_is_wrong(line: bytes) -> str:
    if _OTHER_VERSION.fullmatch(line):
        return "9112 2.3: no version, or one that is none"
    return "9112 2.3: another protocol" if _OTHER_PROTOCOL.fullmatch(line) else "9112 3: the request line"


def _check_host(fields: Fields, minor: bytes) -> None:
    hosts = [value for name, value in fields if name == b"host"]
    if len(hosts) > 1 or (minor != b"0" and not hosts):
        raise InvalidMessageError("9112 3.2: no Host, or several")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise InvalidMessageError("9112 3.2: an invalid Host")


def _body(reader: Reader, fields: Fields, minor: bytes) -> bytes:
    codings, length = listed(fields, b"transfer-encoding"), read_length(reader, fields)
    if not codings:
        return b"" if length is None else reader.take(length)
    if b"" in codings:
        reader.lenient = "9110 5.6.1: an empty member of a list"
        codings = [coding for coding in codings if coding] or [b""]
    if codings[-1] != b"chunked":
        raise InvalidMessageError("9112 6.3: chunked is not the last coding")
    if codings.count(b"chunked") > 1:
        raise InvalidMessageError("9112 6.1: chunked more than once")
    if length is not None:
        reader.lenient = "9112 6.3: a length and a transfer coding"
    elif codings != [b"chunked"]:
        reader.lenient = "9112 6.1: a transfer coding that need not be understood"
    elif minor == b"0":
        reader.lenient = "9112 6.1: a transfer coding in HTTP/1.0"
    return read_chunks(reader)
