"""Lines can hurt nothing (FAULTS E7), whatever happens to the thread that writes them, or to its descriptor."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from hedgerow.telemetry.line_writer import MAX_WAITING_LINES, LineWriter

READ_TIMEOUT_S = 30


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def writer(file: Path) -> Iterator[LineWriter]:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield LineWriter(descriptor)
    os.close(descriptor)


def written(writer: LineWriter, file: Path) -> list[str]:
    writer.flush(READ_TIMEOUT_S)
    return file.read_text().splitlines()


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_e7_without_a_thread_a_line_is_dropped_and_the_next_is_written(
    writer: LineWriter, file: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(thread: Thread) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Thread, "start", fails)
        writer.write("lost")
    writer.write("written")
    assert (written(writer, file), writer.dropped) == (["written"], 1)


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, ""), OSError(errno.EPIPE, ""), OSError(errno.EFBIG, ""), MemoryError(), ValueError()]
)  # fmt: skip
def test_e7_a_line_that_cannot_be_written_is_counted_and_the_next_is_written(
    writer: LineWriter, file: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(_descriptor: int, _data: bytes) -> int:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fails)
        writer.write("lost")
        writer.flush(READ_TIMEOUT_S)
    assert (writer.dropped, writer.is_idle) == (1, False)
    writer.write("written")
    assert (written(writer, file), writer.dropped, writer.is_idle) == (["written"], 1, True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_e7_a_thread_that_was_killed_is_replaced(
    writer: LineWriter, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kills(_descriptor: int, _data: bytes) -> int:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", kills)
        writer.write("lost")
        thread = writer._thread
        assert thread is not None
        thread.join(READ_TIMEOUT_S)
    writer.write("written")
    assert written(writer, file) == ["written"]


def test_e7_a_descriptor_that_is_closed_drops_lines() -> None:
    descriptor = os.open(os.devnull, os.O_WRONLY)
    writer = LineWriter(descriptor)
    os.close(descriptor)
    writer.write("lost")
    writer.flush(READ_TIMEOUT_S)
    assert writer.dropped == 1


def test_e7_a_pipe_that_is_not_read_holds_back_lines_and_not_their_writers() -> None:
    """A flush that waits for it is bounded; what was kept is written once the pipe is read."""
    reading, writing = os.pipe()
    writer = LineWriter(writing)
    for number in range(3 * MAX_WAITING_LINES):
        writer.write(f"{number:0100}")
    assert writer.dropped >= MAX_WAITING_LINES
    writer.flush(0.0)
    assert not writer.is_idle
    kept = 3 * MAX_WAITING_LINES - writer.dropped
    with os.fdopen(reading) as lines:
        assert [int(next(lines)) for _ in range(kept)][:2] == [0, 1]
    writer.flush(READ_TIMEOUT_S)
    os.close(writing)
