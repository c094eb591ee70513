"""W3C Trace Context: which `traceparent` and `tracestate` are valid, and what is passed on of them."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hedgerow.core.trace_context import (
    MAX_TRACESTATE_BYTES,
    MAX_TRACESTATE_MEMBERS,
    parse_trace_context,
    trace_headers,
)
from support.attempts import make_attempt

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
VALID = f"00-{TRACE_ID}-{PARENT_ID}-01".encode()


@pytest.mark.parametrize(
    ("traceparent", "sampled", "passed_on"),
    [
        (VALID, True, VALID),
        (VALID[:-2] + b"00", False, VALID[:-2] + b"00"),
        (VALID[:-2] + b"02", False, VALID[:-2] + b"02"),  # the random flag of level 2
        (VALID[:-2] + b"03", True, VALID[:-2] + b"03"),
        (b"01" + VALID[2:], True, VALID),  # a version to come is passed on in the version that we know
        (b"cc" + VALID[2:] + b"-what-the-future-brings", True, VALID),
        (b"cc" + VALID[2:] + b"-", True, VALID),
    ],
)
def test_what_is_valid_is_passed_on(traceparent: bytes, sampled: bool, passed_on: bytes) -> None:
    context = parse_trace_context(traceparent, b"")
    assert context is not None
    assert (context.trace_id, context.parent_id, context.sampled) == (TRACE_ID, PARENT_ID, sampled)
    assert context.headers == b"traceparent: " + passed_on + b"\r\n"
    assert context.attempt_started(make_attempt()).headers == context.headers


@pytest.mark.parametrize(
    "traceparent",
    [
        b"",
        VALID[:-1],
        VALID[:-3],
        VALID + b"-",
        VALID + b"-00",
        VALID + b"0",
        b"ff" + VALID[2:],
        b"FF" + VALID[2:],
        b"0x" + VALID[2:],
        b"cc" + VALID[2:] + b".what",
        b"cc" + VALID[2:] + b"-a,b",
        b"cc" + VALID[2:] + b"-\xe4",
        VALID.upper(),
        VALID.replace(b"-", b"_"),
        VALID.replace(TRACE_ID.encode(), b"0" * 32),
        VALID.replace(PARENT_ID.encode(), b"0" * 16),
        VALID.replace(b"4bf9", b"4bG9"),
        VALID.replace(b"4bf9", b"4BF9"),
        VALID.replace(b"00f0", b"00F0"),
        VALID.replace(b"4bf9", b"4bf"),
        VALID[:-2] + b"0G",
        VALID[:-2] + b"0A",
        VALID + b"," + VALID,  # two headers
        VALID + b"," + VALID[:-2] + b"00",
        b"cc" + VALID[2:] + b"-x," + VALID,
        VALID + b"\n",
        b" " + VALID,
    ],
)
def test_what_is_not_valid_is_no_trace(traceparent: bytes) -> None:
    assert parse_trace_context(traceparent, b"a=1") is None


KEY_256 = b"k" * 256
MOST = b",".join(b"k%d=v" % number for number in range(MAX_TRACESTATE_MEMBERS))


@pytest.mark.parametrize(
    ("tracestate", "passed_on"),
    [
        (b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        (b" a=1 \t, ,b=2,,", b"a=1,b=2"),
        (b"a=1,2b@c-_*/=x y!~", b"a=1,2b@c-_*/=x y!~"),
        (KEY_256 + b"=" + b"v" * 255, KEY_256 + b"=" + b"v" * 255),  # just 512 bytes
        (MOST, MOST),
        (b"", b""),
        (b",,", b""),
        (b"a", b""),
        (b"=1", b""),
        (b"a=", b""),
        (b"A=1", b""),
        (b"_a=1", b""),
        (b"a=1=2", b""),
        (b"a=1\x7f", b""),
        (b"a=\xe4", b""),
        (b"a=1;b,c", b""),
        (b"a=1,b=2,a=3", b""),
        (b"a=1,a=2", b""),
        (b"a=1,ab=2", b"a=1,ab=2"),
        (b"ab=1,a=2", b"ab=1,a=2"),
        (KEY_256 + b"k=1", b""),
        (b"a=" + b"v" * 257, b""),
        (KEY_256 + b"=" + b"v" * 256, b""),
        (MOST + b",one=more", b""),
    ],
)
def test_a_tracestate_that_is_not_valid_is_left_out_and_the_trace_kept(
    tracestate: bytes, passed_on: bytes
) -> None:
    context = parse_trace_context(VALID, tracestate)
    assert context is not None
    assert context.tracestate == passed_on
    line = b"tracestate: " + passed_on + b"\r\n" if passed_on else b""
    assert context.headers == b"traceparent: " + VALID + b"\r\n" + line


def hexadecimal(digits: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=digits, max_size=digits)


@given(hexadecimal(2), hexadecimal(32), hexadecimal(16), hexadecimal(2))
@example("00", "0" * 31 + "1", "0" * 15 + "1", "ff")
@example("00", "0" * 32, PARENT_ID, "01")
@example("ff", TRACE_ID, PARENT_ID, "01")
def test_the_four_fields_are_read_as_they_are(
    version: str, trace_id: str, parent_id: str, flags: str
) -> None:
    context = parse_trace_context(f"{version}-{trace_id}-{parent_id}-{flags}".encode(), b"")
    if version == "ff" or int(trace_id, 16) == 0 or int(parent_id, 16) == 0:
        assert context is None
    else:
        assert context is not None
        assert (context.trace_id, context.parent_id) == (trace_id, parent_id)
        assert context.sampled is (int(flags, 16) % 2 == 1)


@given(
    st.one_of(st.binary(max_size=80), st.builds(lambda at, byte: VALID[:at] + byte + VALID[at + 1 :],
              st.integers(0, len(VALID)), st.binary(max_size=2))),
    st.one_of(st.binary(max_size=MAX_TRACESTATE_BYTES + 9), st.text("ab=,@ ", max_size=40).map(str.encode)),
)  # fmt: skip
def test_whatever_comes_nothing_but_sound_headers_goes_on(traceparent: bytes, tracestate: bytes) -> None:
    context = parse_trace_context(traceparent, tracestate)
    if context is not None:
        assert re.fullmatch(
            rb"traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\r\n(tracestate: [!-~][ -~]{0,511}\r\n)?",
            context.headers,
        )
        again = parse_trace_context(traceparent, context.tracestate)
        assert again is not None
        assert again.headers == context.headers, "what is valid stays as it is"


def test_without_a_tracestate_the_traceparent_alone_is_passed_on() -> None:
    context = parse_trace_context(VALID, b"")
    assert context is not None
    assert (context.tracestate, context.headers) == (b"", b"traceparent: " + VALID + b"\r\n")
    assert trace_headers(VALID, b"") == context.headers


def test_only_blanks_and_tabs_about_members_are_left_out() -> None:
    context = parse_trace_context(VALID, b" a=1\t,, \tb=X ")
    assert context is not None
    assert context.tracestate == b"a=1,b=X"
    assert parse_trace_context(VALID, b"a=1\n").tracestate == b""  # type: ignore[union-attr]
    assert parse_trace_context(VALID, b"a=X").tracestate == b"a=X"  # type: ignore[union-attr]
