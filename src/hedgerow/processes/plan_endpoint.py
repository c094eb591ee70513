"""What the admin port answers about plans. They take some 50 ms to calculate, so it is done beside the event loop."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial, reduce
from operator import add
from typing import Any, Final, Literal, TypeAlias, get_args

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
from hedgerow.settings.effective_routing import routes_in_effect
from hedgerow.settings.routes import RouteRule
from hedgerow.status.plan_status import HedgingInUse, Real, plan_status
from hedgerow.telemetry.snapshot import Snapshot

Window = Literal["minute", "hour", "day"]
WINDOWS: Final[tuple[Window, ...]] = get_args(Window)
FRESH_S: Final = 5.0
"""How long plans are kept: what is observed in an hour changes little in this time."""
MAX_KEPT: Final = 16
"""Plans that are kept, of some 60 KB each: as many pages may be open, each on a route of its own."""
MAX_NAMES_SHOWN: Final = 8
"""Routes that an error names: a file may have 64."""

_Wanted: TypeAlias = tuple[Window, str]
"""A window, and the name of a route."""


class PlanEndpoint:
    """Asks the workers what they have observed of a route, and says what hedging would bring."""

    def __init__(
        self,
        settings: Settings,
        ask: Callable[[ControlRequest], Awaitable[tuple[list[ControlReply], bool]]],
        real: Callable[[str], Awaitable[tuple[Snapshot, Real]]],
        *,
        clock: Callable[[], float],
    ) -> None:
        """`ask` returns the replies of all workers; `real` what was counted of a route in the last seconds."""
        self._ask = ask
        self._real = real
        self._clock = clock
        self._shared: dict[_Wanted, Shared[bytes]] = {}
        """What is calculated, or waits for it."""
        self._kept: dict[_Wanted, tuple[float, bytes]] = {}
        self._turn = asyncio.Lock()
        """One is calculated at a time: each takes the interpreter from the event loop for a while."""
        self.configured(settings)

    def configured(self, settings: Settings) -> None:
        """Take the configuration that was read again."""
        self._rules = {rule.name: rule for rule in routes_in_effect(settings)}
        self._is_of_file = bool(settings.routes)
        self._kept.clear()

    async def respond(self, window: str, route: str | None, request: Request) -> Response:
        """Return the response to `/status.json?plan=WINDOW&route=NAME`; where there is one route, no name is needed."""
        if route is None and len(self._rules) == 1:
            (route,) = self._rules
        if window not in WINDOWS:
            detail = f"the window {window[:32]!r} is not known; there are: {', '.join(WINDOWS)}"
        elif route not in self._rules:
            detail = unknown_route(route, self._rules)
        else:
            return Response(200, await self._plan((window, route)), content_type=JSON)
        return problem_response("not_found", detail, request.request_id)

    async def stop(self) -> None:
        """Cancel what is calculated."""
        for shared in list(self._shared.values()):
            await shared.stop()

    async def _plan(self, wanted: _Wanted) -> bytes:
        kept = self._kept.get(wanted)
        if kept is not None and self._clock() < kept[0] + FRESH_S:
            return kept[1]
        calculate = partial(self._calculate, wanted, self._rules[wanted[1]])
        return await self._shared.setdefault(wanted, Shared(calculate)).get()

    async def _calculate(self, wanted: _Wanted, rule: RouteRule) -> bytes:
        window, route = wanted
        try:
            async with self._turn:
                replies, _ = await self._ask(GetObservations(window, route))
                observed: list[Any] = [
                    reply.observations for reply in replies if isinstance(reply, ObservationsReply)
                ]
                recent, real = await self._real(route)
                in_use = HedgingInUse.of(rule, recent, is_of_file=self._is_of_file)
                body = await asyncio.to_thread(
                    _encoded, in_use, window, reduce(add, observed, Observations()), recent, real
                )
        finally:
            del self._shared[wanted]
        if self._rules.get(route) is rule:  # else the configuration was read again meanwhile
            self._kept.pop(wanted, None)
            self._kept[wanted] = self._clock(), body
        if len(self._kept) > MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        return body


def _encoded(
    in_use: HedgingInUse, window: Window, observations: Observations, recent: Snapshot, real: Real
) -> bytes:
    return msgspec.json.encode(plan_status(in_use, window, observations, recent, real))


def unknown_route(route: str | None, known: Collection[str]) -> str:
    """Return what is wrong with the name of a route, None if none was given, and which names there are."""
    names = ", ".join(repr(name) for name in list(known)[:MAX_NAMES_SHOWN])
    more = f" and {len(known) - MAX_NAMES_SHOWN} more" if len(known) > MAX_NAMES_SHOWN else ""
    wrong = (
        "there are several routes, give one"
        if route is None
        else f"the route {route[:128]!r} is not known; there are"
    )
    return f"{wrong}: {names}{more}"
