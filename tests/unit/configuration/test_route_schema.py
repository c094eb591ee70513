"""Each key of the file's tables, one at a time: what is accepted, what is not, and how it is said."""

from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hedgerow.configuration.table import Key, Table, nested_table
from hedgerow.settings.errors import SettingsError
from support.routing_files import IDS, KEYS, file_with, message_of, read_text, value_at

EACH_KEY = pytest.mark.parametrize(("where", "path", "table", "key"), KEYS, ids=IDS)

VALUES = [
    "true", "false", "0", "1", "-1", "7", "0.5", "-0.0", "1.0", "1e400", "inf", "nan", "99999999999999999999", "0x10",
    "1979-05-27T07:32:00Z", "07:32:00", "[]", "{}", "[[]]", "[1]", "[true]", '["2xx"]', "[404]", '["x-a"]', '["GET"]',
    '["GET", "GET"]', '["get"]', '["1xx"]', '["407-400"]', '["600"]', '[""]', '["http://h/"]', '["http://h/?a#b"]',
    '["ftp://h"]', '["http://u:hunter2@h/"]', '["Host"]', '["x-a", "X-A"]', '[" x"]', '["embedded"]',
    '""', '"x"', '"on"', '"off"', '"auto"', '"/"', '"/p"', '"/p/"', '"p"', '"//"', '"/a/../b"', '"/%2f"', '"/%"',
    '"0s"', '"1ms"', '"300ms"', '"1.5s"', '"0.5ms"', '"0.0001ms"', '"2m"', '"1h"', '"25h"', '"1 s"', '"1"', '"-1s"',
    '"1e3ms"', '"٣s"', '"1d"', '"64KiB"', '"1MiB"', '"17MiB"', '"1KB"', '"1.5KiB"', '"0B"', '"1.2"', '"1.3"',
    '"x\\u0000"', '"a\\nb"', '"é"', '"TRACE"', '"te"', '"x-y"', '"a b"', f'"{"x" * 300}"', f'"/{"x" * 2_000}"',
    "{ x = 1 }", '{ x-a = "v" }', '{ X-A = "1", x-a = "2" }', '{ host = "h" }', '{ "a b" = "v" }', '{ a = "\\r\\n" }',
    '{ a = " v" }', '{ a = 1 }', '{ type = "object" }', '{ a = 1979-05-27 }', '{ a = [{ b = inf }] }', '"/nowhere/x"',
]  # fmt: skip
"""Of each kind of TOML: right for some keys, nearly right for others."""


@EACH_KEY
def test_the_default_and_the_example_of_a_key_are_accepted(
    tmp_path: Path, where: str, path: tuple[str, ...], table: Table[Any], key: Key
) -> None:
    default = table.default_of(key)
    example = key.example or key.show(default)
    if key.name in ("ca_file", "cert_file", "key_file"):
        authority = trustme.CA()
        issued = authority.issue_cert("shop.internal")
        issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "all.pem"))
        example = f"'{tmp_path / 'all.pem'}'"
    text, _ = file_with(where, path, table, key, example)
    if key.name == "key_file":
        text = text.replace("tls.key_file", f"tls.cert_file = {example}\ntls.key_file")
    if key.name in ("strip_prefix", "rewrite"):
        text = text.replace("path = '/p'", "path_prefix = '/v1'")
    if key.name == "upstream":
        text = text.replace("[upstreams.u]", "[upstreams.shop]")
    value = value_at(read_text(tmp_path, text), where, path)
    if not key.example:
        assert value == default


@pytest.mark.exhaustive
@EACH_KEY
def test_each_value_is_accepted_as_it_is_meant_or_rejected_by_file_line_and_key(
    tmp_path: Path, where: str, path: tuple[str, ...], table: Table[Any], key: Key
) -> None:
    rejected = 0
    for literal in VALUES:
        text, line = file_with(where, path, table, key, literal)
        message = message_of(tmp_path, text)
        if not message:
            value = value_at(read_text(tmp_path, text), where, path)
            again, _ = file_with(where, path, table, key, key.show(value))
            assert value_at(read_text(tmp_path, again), where, path) == value, (literal, again)
            continue
        rejected += 1
        position, _, rest = message.partition(": ")
        prefix = "routes[0]" if where == "routes" else "upstreams.u"
        if rest.startswith(".".join([prefix, *path])):
            assert position == f"line {line}", (literal, message)
        else:  # values that do not go together: the other one is named, which is in the same table
            assert rest.startswith(".".join([prefix, *path[:-1]])), (literal, message)
        assert "hunter2" not in message
    assert rejected > len(VALUES) / 4


@pytest.mark.exhaustive
@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(row=st.sampled_from(KEYS), text=st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
def test_whatever_text_is_written_one_line_says_what_is_wrong(
    tmp_path: Path, row: tuple[str, tuple[str, ...], Table[Any], Key], text: str
) -> None:
    escaped = "".join(f"\\U{ord(character):08x}" for character in text)
    for literal in (f'"{escaped}"', f'["{escaped}"]', f'{{ "{escaped}" = 1 }}'):
        message_of(tmp_path, file_with(*row, value=literal)[0])


@EACH_KEY
def test_a_key_that_is_written_wrong_is_rejected_with_the_right_one(
    tmp_path: Path, where: str, path: tuple[str, ...], table: Table[Any], key: Key
) -> None:
    wrong = (*path[:-1], f"{path[-1]}x")
    text, line = file_with(where, path, table, key, key.example or key.show(table.default_of(key)))
    lines = text.splitlines()
    lines[line - 1] = lines[line - 1].replace(".".join(path), ".".join(wrong), 1)
    message = message_of(tmp_path, "\n".join(lines))
    assert message.startswith(f"line {line}: ")
    assert f"'{wrong[-1]}' is no key of it; did you mean {path[-1]}?" in message


def test_a_key_that_is_like_no_other_is_rejected_with_all_of_its_table(tmp_path: Path) -> None:
    text = '[upstreams.u]\nendpoints = ["http://h"]\ntls = { zzz = 1 }'
    assert message_of(tmp_path, text).endswith(
        "'zzz' is no key of it; they are ca_file, cert_file, key_file, server_name, min_version"
    )


def test_hyphens_and_underscores_are_the_same_and_each_key_is_there_once(tmp_path: Path) -> None:
    text = "[upstreams.u]\nendpoints = ['http://h']\nlb-policy = 'round_robin'\n"
    text += "[[routes]]\npath = '/'\nupstream = 'u'\n"
    assert read_text(tmp_path, text).upstreams[0].lb_policy == "round_robin"
    twice = text.replace("lb-policy", "lb_policy = 'round_robin'\nlb-policy")
    assert message_of(tmp_path, twice) == (
        "line 4: 'lb-policy' is not accepted; give each key once; lb_policy is the same one"
    )


@pytest.mark.parametrize(
    "literal", ['"Bearer s3cr3t\\n"', '" s3cr3t"', '"s3cr3té"', '["s3cr3t"]', "{ s3cr3t = 1 }"]
)
def test_the_value_of_a_header_is_in_no_message(tmp_path: Path, literal: str) -> None:
    text = f"[upstreams.u]\nendpoints = ['http://h']\n[[routes]]\nheaders.set.authorization = {literal}\n"
    message = message_of(tmp_path, text)
    assert message.startswith("line 4: routes[0].headers.set.authorization: ")
    assert "s3cr3t" not in message


def test_every_table_says_what_it_is() -> None:
    for _, _, _, key in KEYS:
        table = nested_table(key.reader)
        if table is not None:
            assert table.accepted.startswith("a table like {")


def test_a_file_that_is_rejected_raises_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        read_text(tmp_path, "routes = 1")
