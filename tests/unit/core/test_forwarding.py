import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.core.forwarding import ClientMessage, Forwarding
from hedgerow.core.header_fields import NOT_PASSED_OF_REQUESTS
from hedgerow.core.request_head import RequestHead
from support.routes import head_of

FORGED = {b"content_length", b"x_forwarded_for"}
"""Some servers take them for ours."""
FIELDS = st.lists(
    st.tuples(
        st.sampled_from(
            [b"Cookie", b"cookie", b"X-A", b"x-b", b"X-B", b"Connection", b"TE", b"Trailer", b"Host", b"Via",
             b"api_key", b"X-Request-Id", b"Content-Length", b"Expect", b"Proxy-Authorization",
             b"Upgrade", b"Keep-Alive", b"X-Forwarded-For", b"Content_Length", b"x_forwarded_For", b"accept_encoding",
             b"Accept-Encoding"]
        ),
        st.sampled_from([b"", b"1", b"x-a", b"X-B, close", b"\xff, via"]),
    ),
    max_size=12,
)  # fmt: skip


def forward(
    head: RequestHead, forwarding: Forwarding | None = None, path: bytes = b"/", query: bytes = b""
) -> bytes:
    return (forwarding or Forwarding()).forward(path, query, head, 900).headers


@given(FIELDS)
def test_nothing_hop_by_hop_passes_and_the_rest_is_neither_lost_nor_doubled_nor_reordered(
    fields: list[tuple[bytes, bytes]],
) -> None:
    named = {
        part.strip().lower()
        for name, value in fields
        if name.lower() == b"connection"
        for part in value.split(b",")
    }
    expected = [
        b"%b: %b" % (name, value)
        for name, value in fields
        if name.lower() not in NOT_PASSED_OF_REQUESTS | FORGED and name.lower() not in named
    ]
    ours = [b"X-Forwarded-Proto: http", b"X-Forwarded-Host: x", b"Via: 1.1 hedgerow", b""]
    assert forward(head_of(*fields)).split(b"\r\n") == expected + ours


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in sorted({*NOT_PASSED_OF_REQUESTS, b"x-forwarded-host", b"x-forwarded-proto"})
        if b"-" in name
    ],
)
def test_names_that_some_servers_read_as_ours_do_not_pass(name: bytes) -> None:
    """RFC 3875 section 4.1.18: `-` becomes `_` for them."""
    nothing = forward(head_of())
    for forged in (name.replace(b"-", b"_"), name.upper().replace(b"-", b"_"), name.replace(b"-", b"_", 1)):
        assert forward(head_of((forged, b"1"))) == nothing
    assert forward(head_of((b"x_" + name, b"1"), (name.replace(b"-", b""), b"2"))) != nothing


def test_forwarded_headers_of_proxies_before_us_are_kept() -> None:
    head = head_of(
        (b"X-Forwarded-For", b"1.1.1.1"), (b"x-forwarded-for", b"2.2.2.2, 3.3.3.3"), (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Host", b"shop"),
    )  # fmt: skip
    forwarded = Forwarding().forward(b"/", b"", head, 900)
    assert forwarded.forwarded_for == b"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, "
    assert forwarded.headers == b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\nVia: 1.1 hedgerow\r\n"


def test_headers_that_are_set_replace_and_those_that_are_removed_go() -> None:
    forwarding = Forwarding(
        set_headers={b"X-A": b"ours"}, removed=(b"cookie", b"x-forwarded-for"), deadline_header=b"x-left"
    )
    head = head_of((b"x-a", b"1"), (b"Cookie", b"1"), (b"X-Left", b"9"), (b"X-Forwarded-For", b"1"))
    assert b"X-A: ours\r\n" in forward(head, forwarding)
    for gone in (b"x-a: 1", b"Cookie", b"X-Left"):
        assert gone not in forward(head, forwarding)
    assert forwarding.forward(b"/", b"", head, 900).forwarded_for == b""


@pytest.mark.parametrize("spelled", [b"X-Internal-User", b"X_Internal_User"])
@pytest.mark.parametrize("forged", [b"X_Internal_User", b"x_internal-user", b"x-internal-user"])
@pytest.mark.parametrize("by", ["set_headers", "removed", "deadline_header"])
def test_nor_do_they_pass_with_underscores_that_some_servers_read_as_ours(
    spelled: bytes, forged: bytes, by: str
) -> None:
    """A client could say who it is by the one spelling that was not replaced."""
    given = {"set_headers": {spelled: b"ours"}, "removed": (spelled.lower(),), "deadline_header": spelled}
    forwarding = Forwarding(**{by: given[by]})  # type: ignore[arg-type]
    assert b"forged" not in forward(head_of((forged, b"forged")), forwarding)
    assert b"X_Internal: 1\r\n" in forward(head_of((b"X_Internal", b"1")), forwarding)


def test_via_says_by_which_version_a_request_came() -> None:
    head = head_of((b"Via", b"1.1 a"))
    head.is_http_1_0 = True
    assert forward(head).startswith(b"Via: 1.1 a\r\n")
    assert forward(head).endswith(b"\r\nVia: 1.0 hedgerow\r\n")


def test_a_body_that_is_read_here_is_asked_for_without_a_coding() -> None:
    head = head_of((b"accept-encoding", b"gzip"))
    assert b"gzip" not in forward(head, Forwarding(asks_identity=True))
    assert b"gzip" not in forward(head_of((b"Accept_Encoding", b"gzip")), Forwarding(asks_identity=True))
    assert b"Accept-Encoding: identity\r\n" in forward(head, Forwarding(asks_identity=True))
    assert b"accept-encoding: gzip\r\n" in forward(head)


@pytest.mark.parametrize(
    ("arguments", "path", "target"),
    [
        ({}, b"/a/b", b"/a/b"),
        ({"replaces": b"/a"}, b"/a/b", b"/b"),
        ({"replaces": b"/a/"}, b"/a/b", b"/b"),
        ({"replaces": b"/a"}, b"/a", b"/"),
        ({"replaces": b"/a"}, b"/ab", b"/ab"),
        ({"replaces": b"/a", "rewritten": b"/x/"}, b"/a/b", b"/x/b"),
        ({"replaces": b"/a", "rewritten": b"/"}, b"/a", b"/"),
        ({"replaces": b"/", "rewritten": b"/x"}, b"/a", b"/x/a"),
        ({"rewritten": b"/x/", "replaces_all": True}, b"/a/b", b"/x/"),
    ],
)
def test_a_prefix_is_replaced_on_a_border_of_segments(
    arguments: dict[str, object], path: bytes, target: bytes
) -> None:
    forwarding = Forwarding(**arguments)  # type: ignore[arg-type]
    assert forwarding.forward(path, b"", head_of(), 900).target == target


@pytest.mark.parametrize(
    ("query", "has_query", "target"),
    [
        (b"", False, b"/"), (b"", True, b"/?"), (b"a=%20&&b", True, b"/?a=%20&&b"), (b"t=1", True, b"/"),
        (b"t=1&", True, b"/"), (b"a&t=1&b", True, b"/?a&b"), (b"%74=1&tt=2", True, b"/?tt=2"),
    ],
)  # fmt: skip
def test_the_query_passes_without_our_parameter(query: bytes, has_query: bool, target: bytes) -> None:
    head = head_of(has_query=has_query)
    assert Forwarding(parameter=b"t").forward(b"/", query, head, 900).target == target


def test_the_host_is_kept_where_it_is_asked_for() -> None:
    head = head_of(host=b"shop")
    assert Forwarding().forward(b"/", b"", head, 900).host == b""
    assert Forwarding(preserves_host=True).forward(b"/", b"", head, 900).host == b"shop"


def test_nothing_of_a_message_is_kept_once_it_is_over() -> None:
    message = ClientMessage(head_of())
    message.body, message.body_bytes = b"ab", 2
    message.drop()
    assert (message.head, message.forwarded, message.body, message.body_bytes) == (None, None, b"", 2)
