"""Bugs in what a process does with its outputs."""

from verification.injected_bugs.bug import Bug

PROCESSES = (
    Bug(
        "a full disk ends the thread that writes the log",
        "telemetry/line_writer.py", "except Exception:  # noqa: BLE001 (a full disk",
        "except KeyError:  # noqa: BLE001 (a full disk",
        "tests/unit/telemetry/test_line_writer.py",
    ),
    Bug(
        "what logs waits for room",
        "telemetry/line_writer.py", "self._waiting.put_nowait(", "self._waiting.put(",
        "C15", 0.15,
    ),
    Bug(
        "the lines at the start are written by the event loop",
        "processes/supervisor.py", "LineWriter(STANDARD_OUTPUT)", "open(1, 'w', buffering=1, closefd=False)",
        "C15", 0.05,
    ),
)  # fmt: skip
