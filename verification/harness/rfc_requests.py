"""A small reading of RFC 9112 (and 9110 where it says so), independent of the product and its parser.

It reads what came over one connection, message after message, and gives each a verdict with the rule it is by.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(%b) ([^ \x00-\x20\x7f]+) HTTP/([0-9])\.([0-9])" % _TOKEN)
_FIELD = re.compile(rb"(%b):[ \t]*(.*?)[ \t]*" % _TOKEN, re.DOTALL)
_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.%]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]*)(?::[0-9]*)?")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)([ \t]*)((?:;[^\r\n\x00]*)?)")


class Verdict(Enum):
    """What a recipient has to do with a message."""

    VALID = "valid"
    EITHER = "may be rejected"
    REJECT = "must be rejected"
    INCOMPLETE = "incomplete"


@dataclass(slots=True)
class Message:
    """One message as the RFC reads it."""

    verdict: Verdict
    rule: str
    method: bytes = b""
    target: bytes = b""
    body: bytes = b""
    head_bytes: int = 0
    fields: tuple[tuple[bytes, bytes], ...] = ()
    """The header lines, names in lower case; without those of trailers."""
    in_body: bool = False
    """Incomplete behind a whole head."""


class _BadError(Exception):
    """A message that must be rejected, by this rule."""


class _ShortError(Exception):
    """More bytes are needed."""


class _Reader:
    def __init__(self, wire: bytes) -> None:
        self.wire = wire
        self.at = 0
        self.in_body = False
        self.lenient = ""
        """The rule by which this message may be rejected, if there is one."""

    def line(self) -> bytes:
        end = self.wire.find(b"\n", self.at)
        if end < 0:
            raise _ShortError
        line = self.wire[self.at : end]
        self.at = end + 1
        if line.endswith(b"\r"):
            return line[:-1]
        self.lenient = "9112 2.2: a line that ends with LF alone"
        return line

    def take(self, size: int) -> bytes:
        if len(self.wire) - self.at < size:
            raise _ShortError
        self.at += size
        return self.wire[self.at - size : self.at]


def read(wire: bytes) -> Iterator[Message]:
    """Yield the messages up to the first after which the rest has no sure meaning."""
    reader = _Reader(wire)
    while reader.at < len(wire):
        reader.lenient, reader.in_body = "", False
        try:
            message, last = _message(reader)
        except _BadError as bad:
            yield Message(Verdict.REJECT, str(bad))
            return
        except _ShortError:
            yield Message(Verdict.INCOMPLETE, reader.lenient, in_body=reader.in_body)
            return
        yield message
        if last or message.verdict is not Verdict.VALID:
            return


def _message(reader: _Reader) -> tuple[Message, bool]:
    """Read one message; return it, and whether it is the last one of its connection."""
    began = reader.at
    line = reader.line()
    while line == b"":
        reader.lenient = reader.lenient or "9112 2.2: an empty line before the request line"
        line = reader.line()
    parsed = _REQUEST_LINE.fullmatch(line)
    if parsed is None:
        raise _BadError("9112 3: the request line")
    method, target, major, minor = parsed.groups()
    if major != b"1":
        raise _BadError("9110 2.5: another major version")
    if minor > b"1":
        reader.lenient = "9110 2.5: a later minor version"
    fields = _fields(reader)
    _check_host(fields, minor)
    head_bytes = reader.at - began
    reader.in_body = True
    body = _body(reader, fields, minor)
    options = b",".join(value for name, value in fields if name == b"connection").lower().split(b",")
    stripped = [option.strip() for option in options]
    last = b"close" in stripped or (minor == b"0" and b"keep-alive" not in stripped)
    verdict = Verdict.EITHER if reader.lenient else Verdict.VALID
    return Message(verdict, reader.lenient, method, target, body, head_bytes, tuple(fields)), last


def _fields(reader: _Reader) -> list[tuple[bytes, bytes]]:
    fields: list[tuple[bytes, bytes]] = []
    while line := reader.line():
        if line[:1] in (b" ", b"\t"):
            if not fields:
                raise _BadError("9112 2.2: a blank before the first field")
            reader.lenient = "9112 5.2: a folded line"
            fields[-1] = (fields[-1][0], fields[-1][1] + b" " + line.strip())
            continue
        parsed = _FIELD.fullmatch(line)
        if parsed is None:
            raise _BadError("9112 5.1: the field line")
        name, value = parsed.groups()
        if re.search(rb"[\x00\r]", value):
            raise _BadError("9110 5.5: CR or NUL in a value")
        if re.search(rb"[\x01-\x08\x0b-\x1f\x7f]", value):
            reader.lenient = "9110 5.5: a control character in a value"
        fields.append((name.lower(), value))
    return fields


def _check_host(fields: list[tuple[bytes, bytes]], minor: bytes) -> None:
    hosts = [value for name, value in fields if name == b"host"]
    if len(hosts) > 1 or (minor != b"0" and not hosts):
        raise _BadError("9112 3.2: no Host, or several")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise _BadError("9112 3.2: an invalid Host")


def _body(reader: _Reader, fields: list[tuple[bytes, bytes]], minor: bytes) -> bytes:
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    lengths = [value for name, value in fields if name == b"content-length"]
    if codings:
        names = [each.strip().lower() for each in b",".join(codings).split(b",")]
        if names[-1] != b"chunked":
            raise _BadError("9112 6.3: chunked is not the last coding")
        if names.count(b"chunked") > 1:
            raise _BadError("9112 6.1: chunked more than once")
        if lengths:
            reader.lenient = "9112 6.3: a length and a transfer coding"
        elif names != [b"chunked"]:
            reader.lenient = "9112 6.1: a transfer coding that need not be understood"
        elif minor == b"0":
            reader.lenient = "9112 6.1: a transfer coding in HTTP/1.0"
        return _chunks(reader)
    if not lengths:
        return b""
    values = [each.strip() for each in b",".join(lengths).split(b",")]
    if not all(re.fullmatch(rb"[0-9]+", value) for value in values) or len(set(values)) > 1:
        raise _BadError("9112 6.3: an invalid length")
    if len(values) > 1:
        reader.lenient = "9110 8.6: the same length several times"
    return reader.take(int(values[0]))


def _chunks(reader: _Reader) -> bytes:
    body = b""
    while True:
        parsed = _CHUNK_LINE.fullmatch(reader.line())
        if parsed is None:
            raise _BadError("9112 7.1: the chunk's line")
        if parsed[2]:
            reader.lenient = "9112 7.1.1: blanks behind the chunk's size"
        size = int(parsed[1], 16)
        if size == 0:
            _fields(reader)
            return body
        body += reader.take(size)
        if reader.take(2) != b"\r\n":
            raise _BadError("9112 7.1: no CRLF behind the chunk")
