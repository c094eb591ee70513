"""Which requests are recorded. Apart from what records them: this is asked for each request, and can be compiled."""

from collections.abc import Callable
from random import random

from hedgerow.core.outcomes import RequestTrace
from hedgerow.core.request import Request


class Sampler:
    """Decides which requests are recorded, before any work is done for it (`gateway.Tracer`).

    A caller who records its part of a trace, or does not, has decided for us too.
    """

    def __init__(
        self,
        share: float,
        record: Callable[[Request, int], RequestTrace],
        chance: Callable[[], float] = random,
    ) -> None:
        self._share = share
        self._record = record
        self._chance = chance

    def begin(self, request: Request, timeout_ms: int) -> RequestTrace | None:
        """Tell the trace of an admitted request."""
        caller = request.trace
        if caller is not None:
            return self._record(request, timeout_ms) if caller.sampled else caller
        return self._record(request, timeout_ms) if self._chance() < self._share else None
