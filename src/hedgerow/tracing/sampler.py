"""Which requests are recorded. A module of its own: it runs for each request, and is compiled."""

from collections.abc import Callable
from random import random

from hedgerow.core.request import Request
from hedgerow.core.trace_context import TraceContext
from hedgerow.core.traces import RequestTrace


class Sampler:
    """Decides which requests are recorded, before any work is done for it (`gateway.Tracer`).

    The sampled flag of a client's trace context decides for its requests.
    """

    def __init__(
        self,
        share: float,
        record: Callable[[Request], RequestTrace | None],
        chance: Callable[[], float] = random,
    ) -> None:
        self._share = share
        self._record = record
        self._chance = chance

    def start(self, request: Request) -> RequestTrace | None:
        """Return the trace of an admitted request."""
        context = request.trace
        if isinstance(context, TraceContext):
            return self._record(request) if context.sampled else context
        return self._record(request) if self._chance() < self._share else None
