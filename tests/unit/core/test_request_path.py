import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.core.request_path import _PROBLEM, MAX_SHOWN_PATH, path_problem, shown_path


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/a",
        "/a/",
        "/v1/search",
        "/a.b/..c/...",
        "/%41%7e",
        "/a;x=1,2",
        "/~u/@me:$&'()*+!",
        "/.well-known/x",
    ],
)
def test_paths_that_are_read_in_one_way_are_accepted(path: str) -> None:
    assert path_problem(path.encode()) == ""


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "begins with /"), ("a", "begins with /"), ("*", "begins with /"), ("http://h/", "begins with /"),
        ("//", "//"), ("/a//b", "//"), ("/a//", "//"),
        ("/.", "segment"), ("/..", "segment"), ("/a/../b", "segment"), ("/a/./", "segment"), ("/%2e", "segment"),
        ("/.%2E/a", "segment"), ("/a/%2e%2e", "segment"),
        ("/a/..;/b", "segment"), ("/.;x", "segment"), ("/%2e%2e;", "segment"),
        ("/%", "two hexadecimal"), ("/%4", "two hexadecimal"), ("/%zz", "two hexadecimal"),
        ("/a%2fb", "percent-encoded /"), ("/a%2Fb", "percent-encoded /"), ("/%5c", "percent-encoded /"),
        ("/%00", "control"), ("/%1f", "control"), ("/%7F", "control"), ("/%0a", "control"),
        ("/a b", "3986"), ("/a?b", "3986"), ("/a#b", "3986"), ("/a\\b", "3986"), ("/é", "3986"), ("/\0", "3986"),
        ("/a|b", "3986"), ("/{x}", "3986"), ('/"', "3986"), ("/<", "3986"), ("/>", "3986"), ("/[", "3986"),
        ("/^", "3986"), ("/`", "3986"), ("/\x7f", "3986"),
    ],
)  # fmt: skip
def test_paths_that_may_be_read_in_two_ways_are_rejected(path: str, why: str) -> None:
    assert why in path_problem(path.encode())


PARTS = [
    b"/",
    b"/",
    b"a",
    b".",
    b"%",
    b"2",
    b"e",
    b"f",
    b"%2e",
    b";",
    b"\n",
    b"~",
    *(b"%c" % byte for byte in range(256)),
]


@given(st.lists(st.sampled_from(PARTS), max_size=8).map(b"".join))
def test_a_usual_path_is_one_without_a_problem(path: bytes) -> None:
    assert (path_problem(path) == "") == (_PROBLEM.search(path) is None)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/v1/search;a=1", "/v1/search;a=1"),
        (b"/\xc3\xa9 \n\x1b[31m\x7f\\", "/\\xc3\\xa9\\x20\\x0a\\x1b[31m\\x7f\\x5c"),
        (b"/" + (MAX_SHOWN_PATH - 1) * b"a", "/" + (MAX_SHOWN_PATH - 1) * "a"),
        (b"/" + MAX_SHOWN_PATH * b"a", "/" + (MAX_SHOWN_PATH - 4) * "a" + "..."),
        (100_000 * b"\xff", (64 * "\\xff")[: MAX_SHOWN_PATH - 3] + "..."),
    ],
)
def test_a_path_is_shown_in_printable_ascii_and_bounded(path: bytes, shown: str) -> None:
    assert shown_path(path) == shown
    assert len(shown) <= MAX_SHOWN_PATH
