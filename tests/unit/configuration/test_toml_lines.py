import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.configuration.toml_lines import KeyPath, line_of, lines_of

DOCUMENT = '''\
# port = 1
port = 8080
"q.u" = """
x = 1
"""  # y = 2
'l' = \'\'\'
[z]\'\'\'
[upstreams.shop] # [a]
endpoints = [
  "http://a/x#y",  # one
  "http://b/[",
]
tls = { ca_file = "/a,b}", n.m = [1.5, { k = 2 }] }
[[routes]]
path = "a = 1"
[routes.hedge.after]
quantile = 0.9
[["routes"]]
hedge.max = 1979-05-27 07:32:00
hedge.min = "\\\\"
[[routes.more]]
x = 1
[[routes.more]]
x = 2
'''


def all_paths(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    """Return the path of each key and element."""
    found = {path} if path else set()
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= all_paths(inner, (*path, key))
    if isinstance(value, list):
        for position, inner in enumerate(value):
            found |= all_paths(inner, (*path, position))
    return found


def test_each_key_table_and_element_has_its_line() -> None:
    assert lines_of(DOCUMENT) == {
        ("port",): 2, ("q.u",): 3, ("l",): 6,
        ("upstreams",): 8, ("upstreams", "shop"): 8, ("upstreams", "shop", "endpoints"): 9,
        ("upstreams", "shop", "endpoints", 0): 10, ("upstreams", "shop", "endpoints", 1): 11,
        ("upstreams", "shop", "tls"): 13, ("upstreams", "shop", "tls", "ca_file"): 13,
        ("upstreams", "shop", "tls", "n"): 13, ("upstreams", "shop", "tls", "n", "m"): 13,
        ("upstreams", "shop", "tls", "n", "m", 0): 13, ("upstreams", "shop", "tls", "n", "m", 1): 13,
        ("upstreams", "shop", "tls", "n", "m", 1, "k"): 13,
        ("routes",): 14, ("routes", 0): 14, ("routes", 0, "path"): 15, ("routes", 0, "hedge"): 16,
        ("routes", 0, "hedge", "after"): 16, ("routes", 0, "hedge", "after", "quantile"): 17,
        ("routes", 1): 18, ("routes", 1, "hedge"): 19, ("routes", 1, "hedge", "max"): 19,
        ("routes", 1, "hedge", "min"): 20, ("routes", 1, "more"): 21, ("routes", 1, "more", 0): 21,
        ("routes", 1, "more", 0, "x"): 22, ("routes", 1, "more", 1): 23, ("routes", 1, "more", 1, "x"): 24,
    }  # fmt: skip


def test_what_has_no_line_has_that_of_what_is_around_it() -> None:
    lines = lines_of(DOCUMENT)
    assert line_of(("routes", 0, "timeout", "max"), lines) == 14
    assert line_of(("routes", 7, "path"), lines) == 14
    assert line_of(("none",), lines) is None
    assert line_of((), lines) is None


SCALARS = [
    "1", "-1.5e3", "true", "inf", "1979-05-27T07:32:00.5Z", "07:32:00", '"a # b"', "'\\'", '"\\""', '""', "''",
    '"""\n"" = [""""', '"""a\\\n  b"""', "'''\n[x]\n''''", '""""""', "''''''", '"""""a"""""', "'''''a'''''",
    '"""\\""""""',
]  # fmt: skip
KEYS = st.sampled_from(["a", "b-1", "'c.d'", '"e\\nf"', '"#"', "1", "a . b", "true", '"]"'])
BREAKS = st.sampled_from(["", " ", "\n", " # ] } =\n", "\r\n\t"])


def values() -> st.SearchStrategy[str]:
    return st.recursive(
        st.sampled_from(SCALARS),
        lambda inner: st.one_of(
            st.tuples(st.lists(inner, max_size=3), BREAKS, st.booleans()).map(
                lambda drawn: (
                    f"[{drawn[1]}{f'{drawn[1]},{drawn[1]}'.join(drawn[0])}"
                    f"{',' if drawn[2] and drawn[0] else ''}{drawn[1]}]"
                )
            ),
            st.lists(st.tuples(KEYS, inner), max_size=2).map(
                lambda pairs: "{" + ", ".join(f"{key} = {value}" for key, value in pairs) + "}"
            ),
        ),
        max_leaves=6,
    )


STATEMENTS = st.one_of(
    st.tuples(KEYS, values(), st.sampled_from(["", " ", "# x = [", "\r"])).map(
        lambda drawn: f"{drawn[0]} = {drawn[1]}{drawn[2]}"
    ),
    KEYS.map(lambda key: f"[{key}]"),
    KEYS.map(lambda key: f"[[ {key} ]] # ["),
    st.just("# [x]"),
    st.just(""),
)


@given(st.lists(STATEMENTS, max_size=8))
def test_every_key_of_a_document_is_found_where_it_is(statements: list[str]) -> None:
    """A statement begins after the longest part of the document before it: what that has not, is in it."""
    text, known, expected = "", set[KeyPath](), dict[KeyPath, range]()
    for statement in statements:
        longer = f"{text}{statement}\n"
        try:
            paths = all_paths(tomllib.loads(longer))
        except tomllib.TOMLDecodeError:
            continue
        first = text.count("\n") + 1
        expected |= dict.fromkeys(paths - known, range(first, first + statement.count("\n") + 1))
        text, known = longer, known | paths
    lines = lines_of(text)
    assert set(lines) == known
    assert all(lines[path] in expected[path] for path in known)


@pytest.mark.parametrize("text", ["x = [", "[", "a.b", "= 1", "x = {", '"', '"""', "]]]\n", "x = {a = [}"])
def test_what_is_no_toml_is_survived(text: str) -> None:
    lines_of(text)


def test_a_deep_or_long_document_takes_little_time() -> None:
    assert ("x",) in lines_of("x = " + "[" * 50_000)
    assert lines_of("x = '''" + "''x" * 300_000 + "'''\ny = 1")["y",] == 2
    assert lines_of('x = """' + '""x' * 300_000 + '"""\ny = 1')["y",] == 2
