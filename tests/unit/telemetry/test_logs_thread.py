"""The log's thread, where none can be started (FAULTS E7)."""

import json
from threading import Thread

import pytest

from hedgerow.core.outcomes import Aborted
from hedgerow.settings import AccessLog, LogFormat
from hedgerow.telemetry.logs import Logs
from hedgerow.telemetry.recorder import Recorder
from support.attempts import make_request


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
    logs.flush(30)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert lines[0]["request_id"] == "later", "the log goes on as soon as a thread can be had"
