"""C3: Host and the authority of an absolute target, by RFC 3986, RFC 6874, RFC 9110 and RFC 9112."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.server.request_rejected import RequestRejected
from hedgerow.server.request_target import is_valid_host, split_target
from support.request_differential import is_host

VALID = [
    b"x", b"x.example", b"127.0.0.1:8080", b"x:", b"x:0", b"x:80", b"x:65535", b"x:0000000000000000080", b"a%20b",
    b"%C3%A4:1", b"a_b~c", b"!$&'()*+,;=", b"999.999.999.999", b"[::]", b"[::1]", b"[::1]:80", b"[::1]:",
    b"[1:2:3:4:5:6:7:8]", b"[1::8]", b"[::ffff:192.0.2.1]", b"[2001:DB8::1]", b"[1:2:3:4:5:6:7::]",
    b"[fe80::1%25eth0]", b"[fe80::1%25eth0]:80", b"[fe80::1%25%41_~-.]", b"[v1.x]", b"[V1F.a:b!]:80",
]  # fmt: skip
INVALID = [
    b"a%zz", b"a%", b"a%4", b"a%4g", b"%%41", b"[:::::]", b"[]", b"[::1", b"::1", b"[::1]x", b"[::1]80", b"x[::1]",
    b"[1:2:3:4:5:6:7]", b"[1:2:3:4:5:6:7:8:9]", b"[1::2::3]", b"[12345::]", b"[g::]", b"[1.2.3.4]", b"[::1.2.3]",
    b"[::1.2.3.04]", b"[::1.2.3.256]", b"[:1]", b"[1:]", b"[fe80::1%eth0]", b"[fe80::1%25]", b"[fe80::1%25a%zz]",
    b"[fe80::1%25a!]", b"[fe80::1%25%25a]]", b"[v.x]", b"[v1.]", b"[v1x]", b"[vg.x]", b"[v1.x%41]", b"[v1.x]]",
    b"x:y", b"x:+80", b"x:-1", b"x: 80", b"x:80:80", b"x:65536", b"x:99999999999999999999", b"x:8_0", b"x:%38",
    b"u@x", b"u:p@x", b"@x", b"a b", b"a/b", b"a?b", b"a#b", b"a\\b", b"a\x00", b"a\n", b"\xe4", b'"x"', b"<x>",
    b"x,y:z", b"[::1]:65536", b"[[::1]]", b"x|y", b"x^y", b"x`y", b"{x}",
]  # fmt: skip


@pytest.mark.parametrize("value", VALID)
def test_c3_a_valid_host(value: bytes) -> None:
    assert is_valid_host(value)
    assert split_target(b"http://%b/p?q" % value, is_connect=False) == (b"/p", b"q")
    assert is_host(value), "the second implementation agrees"


@pytest.mark.parametrize("value", INVALID)
def test_c3_an_invalid_host(value: bytes) -> None:
    assert not is_valid_host(value)
    assert not is_host(value), "the second implementation agrees"


@pytest.mark.parametrize("value", [value for value in INVALID if not set(b"/?#") & set(value)])
def test_c3_an_invalid_authority(value: bytes) -> None:
    with pytest.raises(RequestRejected) as raised:
        split_target(b"http://%b/api/smart" % value, is_connect=False)
    assert raised.value.code == "bad_request"


@pytest.mark.parametrize("value", [b"", b":80", b":"])
def test_c3_a_host_may_be_empty_in_the_header_alone(value: bytes) -> None:
    assert is_valid_host(value)
    assert not is_valid_host(value, may_be_empty=False)
    with pytest.raises(RequestRejected):
        split_target(b"http://%b/" % value, is_connect=False)


PIECES = [
    "a", "Z", "9", "0", "%", "%4", "%41", "%zz", "%25", "[", "]", ":", "::", "::1", "1.2.3.4", "fe80", ".", "-", "_",
    "~", "!", ";", "@", "v1.", "v", "80", "65535", "65536", "00", "\xe4", " ", "/", "ffff:",
]  # fmt: skip


@given(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
    | st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: f"[{''.join(pieces)}]")
    | st.text(max_size=12)
    | st.ip_addresses(v=6).map(lambda address: f"[{address}]:80")
    | st.ip_addresses(v=6).map(lambda address: f"[{address.exploded}%25eth0]")
)
def test_c3_two_implementations_agree(text: str) -> None:
    value = text.encode("utf-8", "replace")
    assert is_valid_host(value) is is_host(value)


@pytest.mark.parametrize("unit", [b"a", b"%20", b"[v1.", b"[:", b":", b"[::1%25", b"%2", b"9", b"[v1.:"])
def test_c3_a_long_value_takes_linear_time(unit: bytes) -> None:
    """Not timed: a regular expression that backtracks would not come to an end here, and the test's timeout is 60 s."""
    for end in (b"", b"]", b"%", b"@", b"]:"):
        value = unit * 8_000 + end
        assert is_valid_host(value) is is_host(value)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", b"/", b""),
        (b"/a?b?c", b"/a", b"b?c"),
        (b"//x/y", b"//x/y", b""),
        (b"/a?next=http://y/", b"/a", b"next=http://y/"),
        (b"*", b"*", b""),
        (b"http://x", b"/", b""),
        (b"http://x?q", b"/", b"q"),
        (b"HTTPS://x:80/a/b?q", b"/a/b", b"q"),
        (b"http://x/a?b/c://d", b"/a", b"b/c://d"),
        (b"http://x//a", b"//a", b""),
    ],
)
def test_targets_are_split(target: bytes, path: bytes, query: bytes) -> None:
    assert split_target(target, is_connect=False) == (path, query)


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"x",
        b"x:80",
        b"?x",
        b"/a#b",
        b"http://x/#",
        b"ftp://x/",
        b"http:/x",
        b"http:x",
        b"://x",
        b"http//x",
        b"*x",
        b"x://y/http://z",
        b"http:///x",
    ],
)
def test_c3_other_targets_are_invalid(target: bytes) -> None:
    with pytest.raises(RequestRejected) as raised:
        split_target(target, is_connect=False)
    assert raised.value.code == "bad_request"


def test_the_authority_of_a_connect_is_not_validated() -> None:
    assert split_target(b"x:80", is_connect=True) == (b"x:80", b"")
    for target in (b"ftp://x", b"x#y"):
        with pytest.raises(RequestRejected):
            split_target(target, is_connect=True)
