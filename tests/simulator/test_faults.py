"""The faults as data: what each would do, step by step. test_connection looks at what arrives on a socket."""

import gzip
import json
from itertools import islice

import pytest

from hedgerow_simulator import FAULTS
from hedgerow_simulator.faults import FAILURES, KINDS, SUCCESSES, UnknownFaultError, find
from hedgerow_simulator.wire_script import End, Pause, Step
from simulator.raw_client import Ending, judged_by_h11

BODY = b'{"time":160}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n" + BODY
FIRST_STEPS = 2_000


def steps(name: str) -> list[Step]:
    wire = find(name).wire(BODY)
    return [wire] if isinstance(wire, bytes) else list(islice(wire, FIRST_STEPS))


def sent(name: str) -> bytes:
    return b"".join(step for step in steps(name) if isinstance(step, bytes))


def body_of(name: str) -> bytes:
    return sent(name).partition(b"\r\n\r\n")[2]


def test_the_names() -> None:
    assert set(KINDS) == {
        "ok", "error", "too_many", "truncated", "not_json", "wrong_type", "reset", "hang", "drip", "close",
        "half_head", "huge", "chunked", "read_to_close", "close_after", "early_hints", "endless_1xx",
        "no_content", "redirect", "gzip", "bad_chunk", "long_head", "overloaded", "status_NNN",
    }  # fmt: skip
    assert len(SUCCESSES) + len(FAILURES) == len(FAULTS)


@pytest.mark.parametrize("function", SUCCESSES + FAILURES)
def test_each_says_how_it_is_done(function: object) -> None:
    assert function.__doc__


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.succeeds])
def test_a_success_is_valid_http_and_brings_the_good_body(name: str) -> None:
    ending = Ending.FIN if steps(name)[-1] is End.CLOSE else None
    assert judged_by_h11(sent(name), ending) == (200, BODY)


def test_ok_is_one_write() -> None:
    assert FAULTS["ok"].wire(BODY) == ANSWER


def test_drip_is_ok_byte_by_byte() -> None:
    assert sent("drip") == ANSWER
    assert all(
        isinstance(step, Pause) or len(step) == 1 for step in steps("drip") if not isinstance(step, End)
    )
    assert sum(isinstance(step, Pause) for step in steps("drip")) == len(ANSWER)


@pytest.mark.parametrize(
    ("name", "status"), [("error", 500), ("too_many", 429), ("redirect", 302), ("no_content", 204)]
)
def test_a_failure_that_says_so_is_valid_http(name: str, status: int) -> None:
    assert judged_by_h11(sent(name), None)[0] == status


def test_error_has_a_body_of_html() -> None:
    assert b"Content-Type: text/html" in sent("error")
    assert body_of("error").startswith(b"<html>")


@pytest.mark.parametrize("status", [200, 201, 204, 304, 404, 503, 999])
def test_any_status_is_valid_http(status: int) -> None:
    assert judged_by_h11(sent(f"status_{status}"), None) == (status, b"" if status in (204, 304) else BODY)


@pytest.mark.parametrize("name", ["truncated", "not_json"])
def test_a_body_that_is_not_json(name: str) -> None:
    status, body = judged_by_h11(sent(name), None)
    assert status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


def test_wrong_type_is_an_object_whose_time_is_a_string() -> None:
    assert isinstance(json.loads(judged_by_h11(sent("wrong_type"), None)[1])["time"], str)


def test_gzip_is_the_good_body_compressed() -> None:
    assert b"Content-Encoding: gzip\r\n" in sent("gzip")
    assert gzip.decompress(judged_by_h11(sent("gzip"), None)[1]) == BODY


def test_a_number_of_hints_without_end() -> None:
    assert sent("endless_1xx").count(b"HTTP/1.1 103 Early Hints\r\n") == FIRST_STEPS / 2
    assert b" 200 " not in sent("endless_1xx")


def test_a_huge_body_has_no_end_and_chunks_that_are_right() -> None:
    chunks = body_of("huge")
    assert len(chunks) > 60_000_000
    size, _, rest = chunks.partition(b"\r\n")
    assert rest[: int(size, 16)] == b" " * 65_536
    assert b"\r\n0\r\n" not in chunks


def test_a_bad_chunk_is_the_second() -> None:
    assert body_of("bad_chunk") == b"c\r\n" + BODY + b"\r\nzz\r\n"


def test_a_long_head_is_a_valid_answer() -> None:
    head, _, body = sent("long_head").partition(b"\r\n\r\n")
    assert len(head) > 256 * 1024
    assert body == BODY


def test_reset_half_head_close_and_hang_end_before_an_answer_is_whole() -> None:
    assert steps("reset") == [ANSWER[:-6], Pause(0.005), End.RESET]
    assert steps("half_head") == [ANSWER[:35], End.CLOSE]
    assert steps("close") == [End.CLOSE]
    assert steps("hang") == [Pause(600), End.CLOSE]


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(UnknownFaultError):
        find("status_099")
