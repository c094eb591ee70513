"""C19's own inputs of JSON, after RFC 8259: `y` must be accepted, `n` must not, `i` is left open and documented.

What is open is in docs/verification/differences.md, with what hedgerow does. The package that C19 reads JSONTestSuite
from has lost the bytes of its inputs that are not UTF-8: those are here.
"""

import json
import math

_ESCAPES = b'"\\/bfnrt'
_BLANKS = b" \t\n\r"

_YES = (
    b"{}", b"[]", b'""', b"0", b"-0", b"10", b"-1", b"1.5", b"1e5", b"1E+5", b"1e-05", b"0.00", b"true",
    b"false", b"null", b'{"time":1}', b' \t\r\n{"time":1} \t\r\n', b'{"time":0}', b'{"time":-0.0}',
    b'{"time":1.5e2}', b'{"":1}', b'{"a":{"b":[1,{}]}}', b'"\x7f"', b'"\xc2\x80"', b'"\xef\xbf\xbf"',
    b'"\xf0\x9f\x98\x80"', b'"\\uD83D\\uDE00"', b'"\\u0000"', b'"\\u00e4"', b'{"time":1,"time2":2}',
    b'[[[[[[[[[[]]]]]]]]]]', b"[1 ,\n2]", b'{"a" : 1 , "b" : 2}', b'"\xe2\x80\xa8"',
    *(b'"\\%c"' % each for each in _ESCAPES), *(b"%c1%c" % (each, each) for each in _BLANKS),
)  # fmt: skip
_NO = (
    b"", b" ", b"\x00", b"{", b"}", b"[", b"]", b"{]", b"[}", b"[1", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,',
    b'{"a":1,}', b"[1,]", b"[,1]", b"[1,,2]", b"[1 2]", b'{"a" 1}', b"{a:1}", b"{1:1}", b"{'a':1}",
    b'{"a":1 "b":2}', b"{}{}", b"[][]", b"1 2", b"{} x", b"01", b"-01", b"+1", b".5", b"5.", b"-.5", b"1.e5",
    b"1e", b"1e+", b"e5", b"1.5.5", b"0x1", b"1_0", b"--1", b"- 1", b"-", b"1e5.5", b"NaN", b"Infinity",
    b"-Infinity", b"nan", b"True", b"TRUE", b"tru", b"nulls", b"None", b"undefined", b"'a'", b'"a', b'"\\"',
    b'"\\x41"', b'"\\u12"', b'"\\u12G4"', b'"\\U0041"', b'"\\ "', b'"\\\n"', b'"\n"', b'"\t"', b'"\x00"',
    b'"\x1f"', b"// x\n1", b"/* x */1", b"1//x", b"#x\n1", b'{"time":1}\x00', b'{"time":1}{"time":2}',
    b'{"time":1},', b'{"time":1}]', b'{"time":1', b"\x0b1", b"\x0c1", b"\xc2\xa01", b"\xe2\x80\xa81",
    b"1\xa0", b'{"time":1}//', b"(1)", b"1;", b"`a`", b'"a"b"', b'["a\\u"]', b"{,}", b'{"a"::1}',
    *(b"[" * deep for deep in (100, 100_000)),
)  # fmt: skip
_OPEN: dict[bytes, tuple[bool, str]] = {
    b"1e999": (True, "number"),
    b"-1e999": (True, "number"),
    b"1e-999": (True, "number"),
    b"9" * 400: (True, "number"),
    b"0." + b"1" * 5_000: (True, "number"),
    b'{"a":1,"a":2}': (True, "duplicate"),
    b'"\\uD800"': (False, "surrogate"),
    b'"\\uDC00"': (False, "surrogate"),
    b'"\\uDE00\\uD83D"': (False, "surrogate"),
    b'"\\uD800\\u0041"': (False, "surrogate"),
    b"\xef\xbb\xbf{}": (False, "mark"),
    b"\xef\xbb\xbf1": (False, "mark"),
    b"[" * 500 + b"]" * 500: (True, "depth"),
    b'"\x80"': (False, "utf8"),
    b'"\xc0\xaf"': (False, "utf8"),
    b'"\xed\xa0\x80"': (False, "utf8"),
    b'"\xf4\x90\x80\x80"': (False, "utf8"),
    b'"\xf8\x88\x80\x80\x80"': (False, "utf8"),
    b'"\xe2\x82"': (False, "utf8"),
    b'{"\xff":1}': (False, "utf8"),
    "{}".encode("utf-16-le"): (False, "utf8"),
    "[1]".encode("utf-16"): (False, "utf8"),
    "[1]".encode("utf-32-be"): (False, "utf8"),
}
"""RFC 8259 sections 4, 6, 8.1, 8.2 and 9: what parsers may do, and whether hedgerow accepts it."""
_OPEN_OF_SUITE = (
    ("i_number", True), ("i_object_key_lone", False), ("i_string", False), ("i_structure_500", True),
    ("i_structure_UTF-8_BOM", False),
)  # fmt: skip


def own_cases() -> list[tuple[str, bytes]]:
    """List name and text of each."""
    cases = [(f"y_own_{number}", text) for number, text in enumerate(_YES)]
    cases += [(f"n_own_{number}", text) for number, text in enumerate(_NO)]
    return cases + [
        (f"i_own_{kind}_{number}", text) for number, (text, (_, kind)) in enumerate(_OPEN.items())
    ]


def is_accepted(name: str, text: bytes) -> bool:
    """Return whether hedgerow has to accept a text as JSON."""
    if not name.startswith("i"):
        return name.startswith("y")
    if text in _OPEN:
        return _OPEN[text][0]
    return next(accepted for start, accepted in _OPEN_OF_SUITE if name.startswith(start))


def parsed(text: bytes) -> tuple[bool, object]:
    """Return whether another parser takes a text for JSON in UTF-8 without a mark, and its value."""
    try:
        return True, json.loads(text.decode(), parse_constant=_reject, parse_int=float)
    except (ValueError, RecursionError):
        return False, None


def _reject(name: str) -> object:
    raise ValueError(name)


def is_payload(value: object) -> bool:
    """Return whether a value is what the contract takes for a success: an object with a finite `time` of 0 or more."""
    time = value.get("time") if isinstance(value, dict) else None
    return isinstance(time, float) and 0 <= time < math.inf
