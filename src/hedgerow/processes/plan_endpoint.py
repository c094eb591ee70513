"""What the admin port answers about plans. They take some 50 ms to calculate, so it is done beside the event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial, reduce
from operator import add
from typing import Any, Final, Literal, get_args

import msgspec

from hedgerow.core.request import Request
from hedgerow.core.response import JSON, Response, problem_response
from hedgerow.planning.observations import Observations
from hedgerow.processes.control_channel import (
    ControlReply,
    ControlRequest,
    GetObservations,
    ObservationsReply,
)
from hedgerow.processes.shared_computation import Shared
from hedgerow.settings import Settings
from hedgerow.settings.routes import QuantileDelay
from hedgerow.status.plan_status import HedgingInUse, PlanStatus, Real, plan_status
from hedgerow.telemetry.snapshot import Snapshot

Window = Literal["minute", "hour", "day"]
WINDOWS: Final[tuple[Window, ...]] = get_args(Window)
FRESH_S: Final = 5.0
"""How long plans are kept: what is observed in an hour changes little in this time."""


class PlanEndpoint:
    """Asks the workers what they have observed, and says what hedging would bring."""

    def __init__(
        self,
        settings: Settings,
        ask: Callable[[ControlRequest], Awaitable[tuple[list[ControlReply], bool]]],
        real: Callable[[], Awaitable[tuple[Snapshot, Real]]],
        *,
        clock: Callable[[], float],
    ) -> None:
        """`ask` returns the replies of all workers; `real` what was counted in the last seconds."""
        self._in_use = _in_use(settings)
        self._ask = ask
        self._real = real
        self._clock = clock
        self._shared = {window: Shared(partial(self._calculate, window)) for window in WINDOWS}
        self._kept: dict[str, tuple[float, PlanStatus]] = {}

    def configured(self, settings: Settings) -> None:
        """Take the configuration that was read again."""
        self._in_use = _in_use(settings)
        self._kept.clear()

    async def respond(self, window: str, request: Request) -> Response:
        """Return the response to `/status.json?plan=WINDOW`."""
        if window not in WINDOWS:
            detail = f"the window {window[:32]!r} is not known; there are: {', '.join(WINDOWS)}"
            return problem_response("not_found", detail, request.request_id)
        return Response(200, msgspec.json.encode(await self._status(window)), content_type=JSON)

    async def stop(self) -> None:
        """Cancel what is calculated."""
        for shared in self._shared.values():
            await shared.stop()

    async def _status(self, window: Window) -> PlanStatus:
        kept = self._kept.get(window)
        if kept is not None and self._clock() < kept[0] + FRESH_S:
            return kept[1]
        return await self._shared[window].get()

    async def _calculate(self, window: Window) -> PlanStatus:
        replies, _ = await self._ask(GetObservations(window))
        observed: list[Any] = [
            reply.observations for reply in replies if isinstance(reply, ObservationsReply)
        ]
        recent, real = await self._real()
        status = await asyncio.to_thread(
            plan_status, self._in_use, window, reduce(add, observed, Observations()), recent, real
        )
        self._kept[window] = self._clock(), status
        return status


def _in_use(settings: Settings) -> HedgingInUse:
    """Return how requests are hedged: by the flags, or by the first route of the file."""
    if not settings.routes:
        return HedgingInUse(
            settings.hedge_mode,
            settings.hedge_sample,
            settings.hedge_after_ms,
            settings.hedges,
            settings.hedge_on_failure,
        )
    hedge = settings.routes[0].hedge
    after_s = hedge.after.max_s if isinstance(hedge.after, QuantileDelay) else hedge.after
    hedges = 0 if hedge.mode == "off" else hedge.max_hedges
    return HedgingInUse(hedge.mode, hedge.sample, round(after_s * 1000), hedges, hedge.retry_on_failure)
