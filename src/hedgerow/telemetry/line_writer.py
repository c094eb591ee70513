"""Writes lines so that logging never blocks and never raises: also to a pipe that is not read, or a full disk.

A thread writes them; what it does not get to is dropped and counted. What `logging` has for it was tried:
docs/decisions/0035-structure.md.
"""

import os
import select
from queue import Full, Queue
from threading import Thread

MAX_WAITING_LINES = 1_000
"""Lines that wait to be written; more are dropped. A pipe that is not read holds 64 KiB more."""
MAX_LINE_CHARACTERS = 32 * 1024
"""Of one line: a stack trace has about 4 KiB. So waiting lines take at most 32 MiB, usually 300 KiB."""
FLUSH_S = 0.5
"""How long a process that ends waits for its last lines to be written."""


class LineWriter:
    """Writes lines to a descriptor from its own thread, which starts with the first line."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: Queue[str] = Queue(MAX_WAITING_LINES)
        self._thread: Thread | None = None
        self._rejected = 0
        self._unwritten = 0
        self._works = True

    @property
    def dropped(self) -> int:
        """Return the number of dropped lines: the queue was full, or writing failed."""
        return self._rejected + self._unwritten

    @property
    def is_idle(self) -> bool:
        """Return whether all lines are written, the last one successfully."""
        return self._works and not self._waiting.unfinished_tasks

    def write(self, line: str) -> None:
        """Queue a line, or drop it. Never blocks and never raises."""
        try:
            self._start_thread()
            self._waiting.put_nowait(line[:MAX_LINE_CHARACTERS])
        except (Full, RuntimeError, MemoryError):  # no room, or no thread: the next line tries again
            self._rejected += 1

    def _start_thread(self) -> None:
        """Start the thread with the first line, or if it has ended."""
        if self._thread is None or not self._thread.is_alive():
            thread = Thread(target=self._run, name="log", daemon=True)
            thread.start()
            self._thread = thread

    def flush(self, timeout_s: float = FLUSH_S) -> None:
        """Wait until all lines are written or dropped, for at most `timeout_s`."""
        with self._waiting.all_tasks_done:
            self._waiting.all_tasks_done.wait_for(lambda: not self._waiting.unfinished_tasks, timeout_s)

    def _run(self) -> None:
        while True:
            line = self._waiting.get()
            try:
                self._write((line + "\n").encode(errors="backslashreplace"))
                self._works = True
            except Exception:  # noqa: BLE001 (a full disk, a closed pipe, no memory: the next line may succeed)
                self._works = False
                self._unwritten += 1
            finally:
                self._waiting.task_done()

    def _write(self, data: bytes) -> None:
        """Write one line in one call where possible, so that lines of several processes do not interleave."""
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # a process that shares stderr has made it non-blocking
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()
