"""Bugs in admission (FAULTS A)."""

from prove.injected_bugs.bug import Bug

ADMISSION: tuple[Bug, ...] = (
    Bug(
        "B11 a request waits for all of its timeout",
        "admission/waiting.py", "WAIT_SHARE: Final = 1 / 4", "WAIT_SHARE: Final = 1 / 1",
        "C02", 0.003,
    ),
    Bug(
        "B11 a request is rejected at once",
        "admission/waiting.py", "WAIT_SHARE: Final = 1 / 4", "WAIT_SHARE: Final = 0.0",
        "C02", 0.003,
    ),
    Bug(
        "A1 a rejected client is read at once",
        "server/connection.py", "        self._backing_off = True\n", "",
        "C02", 0.003,
    ),
)  # fmt: skip
