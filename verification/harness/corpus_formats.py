"""Reads requests and responses out of the test files of others, whose formats these are."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

_START = re.compile(rb"(?:[^\s\x00]+ [^\r\n]+ HTTP/[0-9.]+\r?\n|HT[TP]+/[^\r\n]*\r?\n)")
"""A Python test's bytes that begin so are taken for a message; what it is for is for the oracle to say."""
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([rntf0]))")
_ESCAPED = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"f": b"\f", b"0": b"\0"}
_BLOCK = re.compile(r'meta=\{ *"type": *"(request|response)[^>]*>\s*```http\n(.*?)\n?```', re.DOTALL)
_RAW = re.compile(rb'\.type= *HTTP_[A-Z]+\s*,\.raw=((?:\s|"(?:[^"\\]|\\.)*"|/\*.*?\*/)+)')
_STRING = re.compile(rb'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Sample:
    """What one test sends over one connection."""

    source: str
    """The distribution's file, and the line or the number where it has several."""
    wire: bytes

    @property
    def is_response(self) -> bool:
        return self.wire.lstrip(b"\r\n")[:3].upper() in (b"HTT", b"HTP")


def samples(name: str, content: bytes) -> Iterator[Sample]:
    """Yield the messages of one file."""
    if name.endswith(".http"):
        yield Sample(name, unescaped(content.replace(b"\n", b"")))
    elif name.endswith(".md"):
        yield from _of_llhttp(name, content.decode())
    elif name.endswith("http-parser/test.c"):
        yield from _of_http_parser(name, content)
    elif name.endswith(".py"):
        yield from _of_python(name, content)


def unescaped(content: bytes) -> bytes:
    r"""Replace `\r`, `\n`, `\t`, `\f`, `\0` and `\xNN` by the bytes that they mean."""
    return _ESCAPE.sub(lambda it: bytes.fromhex(it[1].decode()) if it[1] else _ESCAPED[it[2]], content)


def _of_llhttp(name: str, text: str) -> Iterator[Sample]:
    """Read blocks of Markdown: a line's end means CRLF, or nothing behind a backslash; the rest is escaped."""
    for number, block in enumerate(_BLOCK.finditer(text), 1):
        plain = block[2].replace("\\\n", "").replace("\n", "\r\n")
        yield Sample(f"{name}:{number}", unescaped(plain.encode()))


def _of_http_parser(name: str, content: bytes) -> Iterator[Sample]:
    """Read a table of C: each message is written as string literals, one after the other."""
    for number, found in enumerate(_RAW.finditer(content), 1):
        literals = b"".join(_STRING.findall(found[1]))
        yield Sample(
            f"{name}:{number}", ast.literal_eval('"' + literals.decode("latin-1") + '"').encode("latin-1")
        )


def _of_python(name: str, content: bytes) -> Iterator[Sample]:
    for node in ast.walk(ast.parse(content)):
        wire = _bytes_of(node)
        if wire is not None and _START.match(wire):
            yield Sample(f"{name}:{node.lineno}", wire)  # type: ignore[attr-defined]  # an expression has one


def _bytes_of(node: ast.AST) -> bytes | None:
    """Return the value of a literal, of a list of literals (which are sent one after the other), or of their join."""
    match node:
        case ast.Constant(value=bytes() as value):
            return value
        case ast.List(elts=[_, *_] as parts):
            values = [part.value for part in parts if isinstance(part, ast.Constant)]
            pieces = [value for value in values if isinstance(value, bytes)]
            return b"".join(pieces) if len(pieces) == len(parts) else None
        case ast.Call(
            func=ast.Attribute(value=ast.Constant(value=bytes() as by), attr="join"),
            args=[ast.List() as made],
        ):
            lines = [part.value for part in made.elts if isinstance(part, ast.Constant)]
            whole = [line for line in lines if isinstance(line, bytes)]
            return by.join(whole) if len(whole) == len(made.elts) else None
        case _:
            return None
