"""Makes a gateway that counts and logs nothing. For `python -m bench.telemetry_overhead`, by PYTHONPATH."""

from typing import Any

from hedgerow.telemetry import recorder

FACTS = (
    "request_began", "request_ended", "answered", "request_abandoned", "request_rejected", "attempt_ended",
    "turn_took",
)  # fmt: skip


class NoRecorder:
    """A recorder that receives all facts and counts none. No subclass: a compiled one has none."""

    def __init__(self, *args: Any) -> None:
        self._recorder = counting(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recorder, name)


for fact in FACTS:
    setattr(NoRecorder, fact, lambda *_, **__: None)

counting = recorder.Recorder
recorder.Recorder = NoRecorder  # type: ignore[assignment, misc]
