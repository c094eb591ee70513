"""The path of one valid request: it waits for admission, runs its race, and is answered."""

from math import inf
from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from hedgerow.admission.waiting import Waiting
from hedgerow.core.hedge_limit import HedgeLimit
from hedgerow.core.hedging import Race
from hedgerow.core.outcomes import Aborted, Attempt, RaceEnd, Verdict, Won
from hedgerow.core.request import Request, Responder
from hedgerow.core.response import Response, overloaded, problem_response, response_for
from hedgerow.eventloop.deadlines import response_deadline

if TYPE_CHECKING:
    from hedgerow.gateway import Gateway


def internal_error(request: Request) -> Response:
    """Return the response to a request that an internal error ended."""
    return problem_response("internal", "an internal error, it has been logged", request.request_id)


@mypyc_attr(acyclic=True)
class RequestTask(Waiting):
    """One valid request: waits for admission, runs its race, answers.

    It is what the event loop wakes and fires deadlines of, and what its connection cancels.
    """

    __slots__ = (
        "_gateway", "_race", "_responder", "_tick", "_until", "_woken", "request",
    )  # fmt: skip

    def __init__(self, gateway: "Gateway", request: Request, responder: Responder) -> None:
        super().__init__()
        self._gateway = gateway
        self._responder: Responder | None = responder
        self.request = request
        self._race: Race | None = None
        """While it runs."""
        self._tick = 0
        self._until = inf
        """The instant of its deadline in the event loop; infinite while there is none."""
        self._woken = False

    def start(self) -> None:
        """Run the race up to its first wait, or wait for admission."""
        gateway = self._gateway
        now = gateway.loop.clock()
        if gateway.admission.admit_or_queue(self, now):
            self._run(now)
            return
        request, lag_s = self.request, gateway.loop.monitor.recent_max_lag_s(now)
        gateway.admission.limit_wait(self, request.arrived_at, request.timeout_ms / 1000, lag_s, now)
        if now < self.wait_until:
            self._wait_until(self.wait_until)
            gateway.loop.request_admission()
        else:
            self._reject(now)

    def admitted(self) -> None:
        """Start the request, which has waited for its admission."""
        self._forget_deadline()
        self._run(self._gateway.loop.clock())

    def resume(self) -> None:
        """Continue the race: an attempt has finished, or the instant has come that it waits for."""
        self._woken = False
        if self._race is not None:
            self._proceed(self._race, self._gateway.loop.clock())

    def _proceed(self, race: Race, now: float) -> None:
        response: Response | None = None
        try:
            verdict = race.proceed(now)
            if verdict is not None:
                response = response_for(verdict, self.request)
        except Exception:  # noqa: BLE001 (B12: one request pays for an internal error, the worker lives)
            self._gateway.observer.internal_error(self.request)
            verdict, response = None, internal_error(self.request)
        if response is None:
            self._wait_until(race.wait_until)
        else:
            self._end(response.code, race, verdict, now)
            self._respond(response)

    def on_attempt_finished(self) -> None:
        """Resume in this iteration of the event loop, once for all attempts that finish in it."""
        request = self.request
        request.route.attempts_in_flight -= 1
        late = request.late
        if late is not None and not late.answered and self._gateway.loop.clock() <= late.until:
            late.answered = True
        if self._race is not None and not self._woken:
            self._woken = True
            self._gateway.loop.wake(self)

    def on_deadline(self) -> None:
        """Resume the request at the instant that it waits for."""
        self._until = inf
        race, loop = self._race, self._gateway.loop
        if self.is_waiting:
            self._reject(loop.clock())
        elif race is not None and loop.answers_unread and loop.clock() < race.deadline_at:
            # Hedges are due in the middle of a step: a response that they would race may be unread (decision 0016).
            self._wait_until(race.deadline_at)
            loop.wake_after_reading(self)
        else:
            self.resume()

    def cancel(self) -> None:
        """Give up, since the client has left: nothing further is sent, attempts that run become losers."""
        self._forget_deadline()
        self._responder = None
        race = self._race
        now = self._gateway.loop.clock()
        if race is not None:
            self._end("abandoned", race, None, now)
        elif self.is_waiting:
            self._gateway.admission.leave(self)
            self._report_end("abandoned", Aborted(()), now)

    def _run(self, now: float) -> None:
        """Begin the race."""
        gateway, request = self._gateway, self.request
        route = request.route
        plan = route.plan
        if route.plan_varies:
            try:
                plan = route.plan_at(now)
            except Exception:  # noqa: BLE001 (B12: the estimate of a hedge delay costs no client its response)
                gateway.observer.internal_error(request)
        request.deadline_at = response_deadline(
            request.arrived_at, request.timeout_ms / 1000, gateway.loop.monitor.recent_max_lag_s(now)
        )
        self._race = race = Race(self._start_attempt, plan, deadline_at=request.deadline_at)
        route.in_flight += 1
        self._proceed(race, now)

    def _start_attempt(self, number: int, now: float) -> Attempt | None:
        """Start an attempt; None if it is a hedge that is held."""
        gateway, request = self._gateway, self.request
        route = request.route
        limit = route.hedge_limit
        if number == 1:
            request.started_at = now
            if limit is not None and limit.budget is not None:
                limit.request_started(now)
            if gateway.tracer is not None:
                request.trace = gateway.tracer.start(request)
        elif limit is not None and self._is_held(limit, number, now):
            return None
        attempt = Attempt(number, now, request, self)
        if request.trace is not None:
            attempt.span = request.trace.attempt_started(attempt)
        handle = route.upstream.send(attempt)
        route.attempts_in_flight += 1  # after sending: an internal error there leaves nothing counted
        if attempt.outcome is None:  # else it has finished on the spot
            attempt.handle = handle
        return attempt

    def _is_held(self, limit: HedgeLimit, number: int, now: float) -> bool:
        """Return whether a hedge is held; that of all is decided when the first of them is due."""
        request, race = self.request, self._race
        late = request.late
        if late is None:
            route = request.route
            first_failed = race is not None and race.attempts[0].outcome is not None
            late = limit.first_was_late(
                now, route.attempts_in_flight, route.plan.hedges, first_failed=first_failed
            )
            request.late = late
        return number > 1 + late.sent

    def _reject(self, now: float) -> None:
        """Answer 503: it has waited as long as it may (B11). Under overload most answers are this one."""
        gateway = self._gateway
        gateway.report_rejection(self.request, "overloaded", gateway.admission.reject(self, now))
        self._respond(overloaded(self.request.request_id))

    def _end(self, code: str, race: Race, verdict: Verdict | None, now: float) -> None:
        """Abandon attempts, cancel the deadline and release admission."""
        self._race = None
        gateway, request = self._gateway, self.request
        route = request.route
        limit = route.hedge_limit
        try:
            if limit is not None and request.late is None and isinstance(verdict, Won):
                limit.first_was_quick(now, route.attempts_in_flight)
            race.end()
        except Exception:  # noqa: BLE001 (B12: nor does a loser)
            gateway.observer.internal_error(request)
        route.in_flight -= 1
        self._forget_deadline()
        gateway.admission.release()
        if gateway.admission.waiting:
            gateway.loop.request_admission()
        self._report_end(code, Aborted(tuple(race.attempts)) if verdict is None else verdict, now)

    def _report_end(self, code: str, end: RaceEnd, now: float) -> None:
        """Report it to telemetry, which keeps the request for a while."""
        gateway, request = self._gateway, self.request
        if request.message is not None:
            request.message.drop()
        try:
            gateway.observer.request_finished(request, code, now, end)
        except Exception:  # noqa: BLE001 (B12: an error of telemetry never costs a client its response)
            gateway.observer.internal_error(request)

    def _respond(self, response: Response) -> None:
        responder, self._responder = self._responder, None
        if responder is not None:
            responder.respond(response)

    def _wait_until(self, until: float) -> None:
        if until == self._until:
            return
        self._forget_deadline()
        self._until = until
        self._tick = self._gateway.loop.call_at(until, self)

    def _forget_deadline(self) -> None:
        if self._until != inf:
            self._gateway.loop.cancel(self._tick, self)
            self._until = inf
