"""A small reading of RFC 9112 (and 9110 where a rule says so): lines, fields and chunks.

It is independent of the product and of its parser. `rfc_requests` and `rfc_responses` are made of it.
"""

import re
from enum import Enum

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_FIELD = re.compile(rb"(%b)([ \t]*):[ \t]*(.*?)[ \t]*" % TOKEN, re.DOTALL)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)(.*)", re.DOTALL)
_VALUE = rb'(?:%b|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*")' % TOKEN
_EXTENSION = re.compile(rb"(?:;%b(?:=%b)?)*" % (TOKEN, _VALUE))
_EXTENSION_WITH_BLANKS = re.compile(rb"(?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*%b)?)*" % (TOKEN, _VALUE))

MAX_LENGTH = 2**63 - 1

Fields = tuple[tuple[bytes, bytes], ...]
"""Header lines in their order, names in lower case; without those of trailers."""


class Verdict(Enum):
    """What a recipient has to do with a message."""

    VALID = "valid"
    EITHER = "may be rejected"
    REJECT = "must be rejected"
    INCOMPLETE = "incomplete"


class InvalidMessageError(Exception):
    """A message that must be rejected, by this rule."""


class IncompleteMessageError(Exception):
    """More bytes are needed."""


class Reader:
    """What came over one connection, and how far it is read."""

    def __init__(self, wire: bytes) -> None:
        self.wire = wire
        self.at = 0
        self.in_body = False
        self.length = 0
        """What the message says of its body's."""
        self.lenient = ""
        """The rule by which this message may be rejected, if there is one."""

    @property
    def is_in_line(self) -> bool:
        """Return whether a line has begun and not ended: what is wrong with it may be seen at once."""
        return self.at < len(self.wire)

    def begin(self) -> None:
        """Expect the next message."""
        self.in_body, self.length, self.lenient = False, 0, ""

    def line(self) -> bytes:
        """Read a line of the head."""
        line, ends_well = self._line()
        if not ends_well:
            self.lenient = "9112 2.2: a line that ends with LF alone"
        return line

    def chunk_line(self) -> bytes:
        """Read a line of chunked framing: section 2.2 allows LF alone for the lines of a head."""
        line, ends_well = self._line()
        if not ends_well:
            raise InvalidMessageError("9112 7.1: a chunk's line that ends with LF alone")
        return line

    def take(self, size: int) -> bytes:
        """Read this many bytes."""
        if len(self.wire) - self.at < size:
            self.at = len(self.wire)
            raise IncompleteMessageError
        self.at += size
        return self.wire[self.at - size : self.at]

    def rest(self) -> bytes:
        """Read what is left."""
        return self.take(len(self.wire) - self.at)

    def _line(self) -> tuple[bytes, bool]:
        end = self.wire.find(b"\n", self.at)
        if end < 0:
            raise IncompleteMessageError
        line = self.wire[self.at : end]
        self.at = end + 1
        return line.removesuffix(b"\r"), line.endswith(b"\r")


def read_fields(reader: Reader, *, blank_before_colon: str = "") -> Fields:
    """Read a header section. `blank_before_colon` is the rule that allows one, where there is such a rule."""
    fields: list[tuple[bytes, bytes]] = []
    while line := reader.line():
        if line[:1] in (b" ", b"\t"):
            if not fields:
                raise InvalidMessageError("9112 2.2: a blank before the first field")
            reader.lenient = "9112 5.2: a folded line"
            fields[-1] = (fields[-1][0], (fields[-1][1] + b" " + line.strip(b" \t")).strip(b" \t"))
            continue
        parsed = _FIELD.fullmatch(line)
        if parsed is None or (parsed[2] and not blank_before_colon):
            raise InvalidMessageError("9112 5.1: the field line")
        if parsed[2]:
            reader.lenient = blank_before_colon
        if re.search(rb"[\x00\r]", parsed[3]):
            raise InvalidMessageError("9110 5.5: CR or NUL in a value")
        if re.search(rb"[\x01-\x08\x0b-\x1f\x7f]", parsed[3]):
            reader.lenient = "9110 5.5: a control character in a value"
        fields.append((parsed[1].lower(), parsed[3]))
    return tuple(fields)


def listed(fields: Fields, name: bytes) -> list[bytes]:
    """Return the members of a list header, in lower case, or an empty list (RFC 9110 section 5.6.1)."""
    values = [value for each, value in fields if each == name]
    return [member.strip(b" \t").lower() for member in b",".join(values).split(b",")] if values else []


def read_length(reader: Reader, fields: Fields) -> int | None:
    """Return the Content-Length."""
    values = listed(fields, b"content-length")
    if not values:
        return None
    if not all(re.fullmatch(rb"[0-9]+", value) for value in values) or len(set(values)) > 1:
        raise InvalidMessageError("9112 6.3: an invalid length")
    if len(values) > 1:
        reader.lenient = "9110 8.6: the same length several times"
    if int(values[0]) > MAX_LENGTH:
        reader.lenient = "9110 8.6: a length that overflows"
    reader.length = int(values[0])
    return reader.length


def read_chunks(reader: Reader) -> bytes:
    """Read a chunked body with its trailers, and return it."""
    body = b""
    while True:
        parsed = _CHUNK_LINE.fullmatch(reader.chunk_line())
        if parsed is None:
            raise InvalidMessageError("9112 7.1: the chunk's line")
        _check_extension(reader, parsed[2])
        size = int(parsed[1], 16)
        if size > MAX_LENGTH:
            reader.lenient = "9112 7.1: a size that overflows"
        if size == 0:
            names = {name for name, _ in read_fields(reader)}
            if names & {b"content-length", b"transfer-encoding"}:
                reader.lenient = "9110 6.5.1: a header of framing among the trailers"
            return body
        body += reader.take(size)
        if reader.take(2) != b"\r\n":
            raise InvalidMessageError("9112 7.1: no CRLF behind the chunk")


def _check_extension(reader: Reader, extension: bytes) -> None:
    if _EXTENSION.fullmatch(extension):
        return
    if _EXTENSION_WITH_BLANKS.fullmatch(extension.rstrip(b" \t")):
        reader.lenient = "9112 7.1.1: blanks in the line of a chunk"
    elif extension.lstrip(b" \t").startswith(b";") and not re.search(rb"[\x00\r]", extension):
        reader.lenient = "9112 7.1.1: a chunk's extension that has not its grammar"
    else:
        raise InvalidMessageError("9112 7.1: the chunk's line")
