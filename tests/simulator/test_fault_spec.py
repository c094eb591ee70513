from urllib.parse import quote

import pytest

from hedgerow_simulator import FAULTS
from hedgerow_simulator.fault_spec import (
    FaultSpec,
    InvalidSpec,
    RandomLatency,
    entry_for,
    parse_script,
    parse_spec,
    read_attempt,
    read_script,
)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_can_be_asked_for_by_name(name: str) -> None:
    assert parse_spec(name) == FaultSpec(FAULTS[name], RandomLatency())
    assert parse_spec(f"{name}@50") == FaultSpec(FAULTS[name], 50)


@pytest.mark.parametrize("name", ["status_200", "status_418", "status_503", "status_999"])
def test_any_status_can_be_asked_for(name: str) -> None:
    asked = parse_spec(f"{name}@0")
    assert isinstance(asked, FaultSpec)
    assert (asked.fault.name, asked.fault.kind, asked.latency_ms) == (name, "status_NNN", 0)
    assert asked.fault.succeeds == (name == "status_200")


@pytest.mark.parametrize(
    "text",
    [
        "", "Ok", " ok", "ok ", "ok,", "nope", "status_", "status_099", "status_100", "status_1000",
        "status_\u0665\u0660\u0660", "status_NNN", "__class__", "x" * 5_000,
        "ok@", "ok@-1", "ok@+1", "ok@1.5", "ok@1_0", "ok@ 1", "ok@1e3", "ok@\u0663", "ok@120001", "ok@5@6",
        "ok@" + "9" * 5_000,
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_few_words(text: str) -> None:
    bad = parse_spec(text)
    assert isinstance(bad, InvalidSpec)
    assert len(bad.text) < 500


def test_a_refusal_says_what_was_asked_and_what_there_is() -> None:
    bad = parse_spec("hung")
    assert isinstance(bad, InvalidSpec)
    assert "'hung'" in bad.text
    assert " hang " in bad.text


def test_a_script_gives_each_attempt_its_own_and_the_last_to_all_others() -> None:
    script = parse_script("hang,error@50,ok@100")
    assert not isinstance(script, InvalidSpec)
    got = [(entry.fault.name, entry.latency_ms) for entry in (entry_for(script, n) for n in range(1, 6))]
    assert got == [("hang", RandomLatency()), ("error", 50), ("ok", 100), ("ok", 100), ("ok", 100)]


@pytest.mark.parametrize("text", ["", ",", "ok,", "ok,,ok", "ok, ok", "ok;ok", ",".join(["ok"] * 17)])
def test_a_bad_script_is_refused(text: str) -> None:
    assert isinstance(parse_script(text), InvalidSpec)


def test_nothing_asked_is_an_empty_script() -> None:
    assert read_script(b"", b"") == ()
    assert read_script(b"", b"timeout=5&x") == ()


def test_the_query_may_be_percent_encoded() -> None:
    plain = read_script(b"", b"script=hang,error@50")
    assert plain == read_script(b"", f"a=b&script={quote('hang,error@50', safe='')}".encode())
    assert plain == parse_script("hang,error@50")


def test_the_header_goes_before_the_query() -> None:
    assert read_script(b"ok@1", b"fault=error") == (FaultSpec(FAULTS["ok"], 1),)


@pytest.mark.parametrize(
    "query",
    [
        b"fault=",
        b"script=",
        b"fault=ok&fault=ok",
        b"fault=ok&script=ok",
        b"fault=ok,ok",
        b"&".join([b"a=b"] * 33),
    ],
)
def test_a_bad_query_is_refused(query: bytes) -> None:
    assert isinstance(read_script(b"", query), InvalidSpec)


def test_a_query_that_is_too_long_is_refused_unread() -> None:
    assert isinstance(read_script(b"", b"a=" + b"b" * 4_096), InvalidSpec)
    assert isinstance(read_script(b"o" * 4_097, b""), InvalidSpec)


@pytest.mark.parametrize(("header", "number"), [(b"", 1), (b"1", 1), (b"3", 3), (b"007", 7)])
def test_attempts_count_from_one(header: bytes, number: int) -> None:
    assert read_attempt(header) == number


@pytest.mark.parametrize("header", [b"0", b"-1", b"+1", b"1.0", b"x", b" 1", b"\xd9\xa3", b"9" * 5_000])
def test_a_bad_attempt_is_refused(header: bytes) -> None:
    assert isinstance(read_attempt(header), InvalidSpec)
