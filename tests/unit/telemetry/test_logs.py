"""The log can hurt nothing (FAULTS E7), whatever happens to its thread, its descriptor or a line."""

import json
import os
from pathlib import Path
from threading import Thread

import pytest
import structlog

from hedgerow.core.outcomes import Aborted
from hedgerow.settings import AccessLog, LogFormat
from hedgerow.telemetry.line_writer import MAX_LINE_CHARACTERS
from hedgerow.telemetry.logs import (
    ALIKE_PER_S,
    MAX_KIND_CHARACTERS,
    MAX_KINDS,
    OTHER_KINDS,
    Logs,
    RateLimiter,
)
from hedgerow.telemetry.recorder import Recorder
from support.attempts import make_request

READ_TIMEOUT_S = 30


class Unprintable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log"


def logs_to(path: Path) -> Logs:
    return Logs(LogFormat.JSON, "info", os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))


def lines_of(path: Path) -> list[str]:
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_e7_lines_without_a_thread_are_dropped_and_counted_and_raise_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fails(thread: Thread) -> None:
        raise error

    logs = Logs(LogFormat.JSON, "info")
    recorder = Recorder(logs.log, AccessLog.ERRORS)
    with monkeypatch.context() as patched:
        patched.setattr(Thread, "start", fails)
        for _ in range(2):
            recorder.request_finished(make_request(), "internal", 10.5, Aborted(()))
            recorder.internal_error(None)
    assert logs.dropped == 4
    recorder.request_finished(make_request(b"later"), "internal", 10.5, Aborted(()))
    logs.summarise()
    logs.flush(READ_TIMEOUT_S)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert lines[0]["request_id"] == "later", "the log goes on as soon as a thread can be had"


def test_e7_a_line_that_cannot_be_made_is_counted_and_costs_no_answer(file: Path) -> None:
    logs = logs_to(file)
    logs.log.error("lost", value=Unprintable())
    assert logs.dropped == 1
    logs.log.info("written")
    logs.flush(READ_TIMEOUT_S)
    assert lines_of(file) == ["written"]


@pytest.mark.parametrize(
    "value",
    ["\udcff", "\u2028ä", 2**70, ["nested", {"\udcff": "x"}]],
    ids=["no UTF-8", "letters", "large", "keys"],
)
def test_what_json_can_say_is_written_as_json(file: Path, value: object) -> None:
    logs = logs_to(file)
    logs.log.info("written", value=value)
    logs.flush(READ_TIMEOUT_S)
    assert json.loads(file.read_text())["value"] == value


@pytest.mark.parametrize("character", ["x", "\0", "ü", '"'])
def test_a_line_that_is_too_long_is_json_with_its_texts_cut(file: Path, character: str) -> None:
    logs = logs_to(file)
    logs.log.warning(character * 40_000, exception=character * 100_000, logger="library")
    logs.close()
    (line,) = file.read_text().splitlines()
    assert MAX_LINE_CHARACTERS / 4 < len(line) <= MAX_LINE_CHARACTERS
    found = json.loads(line)
    assert set(found["event"]) == set(found["exception"]) == {character}
    assert (found["level"], found["logger"]) == ("warning", "library")


def test_what_json_cannot_say_is_written_as_text(file: Path) -> None:
    logs = logs_to(file)
    logs.log.info("written", value=OSError("x"))
    logs.flush(READ_TIMEOUT_S)
    assert json.loads(file.read_text())["value"] == "OSError('x')"


def admitted(limiter: RateLimiter, event: str, times: int = 1) -> int:
    passed = 0
    for _ in range(times):
        try:
            limiter(None, "warning", {"event": event})
        except structlog.DropEvent:
            continue
        passed += 1
    return passed


def test_the_gate_opens_each_second_also_if_it_is_never_asked_what_it_suppressed() -> None:
    """A supervisor that is stopped asks for no summaries, and its workers fell silent after ten lines."""
    now = 10.0
    limiter = RateLimiter(lambda: now)
    for second in range(5):
        now = 10.0 + second
        assert admitted(limiter, "request", ALIKE_PER_S + 7) == ALIKE_PER_S
    now = 20.0
    ((_, _, window),) = limiter.pop_ended()
    assert window.suppressed == 5 * 7, "what was held back is reported all the same"


def test_the_gate_keeps_a_bounded_number_of_kinds() -> None:
    limiter = RateLimiter(lambda: 10.0)
    passed = sum(admitted(limiter, f"{number:05} " + "x" * 10_000) for number in range(5_000))
    assert passed == MAX_KINDS + ALIKE_PER_S
    assert len(limiter._windows) == MAX_KINDS + 1
    assert max(len(event) for event, _ in limiter._windows) <= MAX_KIND_CHARACTERS
    suppressed = {event: window.suppressed for event, _, window in limiter.pop_ended(at_the_end=True)}
    assert suppressed == {OTHER_KINDS: 5_000 - passed}


def test_the_gate_holds_back_by_event_and_code_and_second() -> None:
    now = 10.0
    limiter = RateLimiter(lambda: now)

    def passes(code: str) -> bool:
        try:
            limiter(None, "warning", {"event": "request", "code": code})
        except structlog.DropEvent:
            return False
        return True

    assert [passes("a") for _ in range(ALIKE_PER_S + 3)] == [True] * ALIKE_PER_S + [False] * 3
    assert passes("b")
    assert limiter.pop_ended() == []
    now = 11.0
    ((event, code, window),) = limiter.pop_ended()
    assert (event, code, window.level, window.suppressed) == ("request", "a", "warning", 3)
    assert limiter.pop_ended() == []
    assert passes("a"), "another second"
