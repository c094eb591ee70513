"""The path of one request, from its head to its answer."""

from dataclasses import dataclass
from math import inf
from typing import Final, Protocol

from hedgerow.admission.controller import AdmissionController
from hedgerow.admission.waiting import wait_until
from hedgerow.core.hedging import HedgePlan, Race
from hedgerow.core.observer import Observer
from hedgerow.core.outcomes import Aborted, Attempt, AttemptSender, RaceEnd, RequestTrace, Verdict
from hedgerow.core.request import Handler, Request, Responder
from hedgerow.core.response import Response, overloaded, problem_response, response_for
from hedgerow.core.timeout_param import InvalidTimeout, parse_timeout_ms
from hedgerow.eventloop.deadlines import response_deadline
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop

SMART_PATH: Final = b"/api/smart"
_ALLOWED: Final = (b"GET", b"HEAD")


class Tracer(Protocol):
    """Decides which requests are recorded."""

    def start(self, request: Request) -> RequestTrace | None:
        """Return the trace that an admitted request is part of: the client's, a new one, or none."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator chose: when to ask again, and how long a client may wait."""

    plan: HedgePlan
    default_timeout_ms: int
    max_timeout_ms: int


class Gateway(Handler):
    """Answers requests: the smart endpoint, and a clear error everywhere else."""

    def __init__(
        self,
        upstream: AttemptSender,
        policy: Policy,
        *,
        admission: AdmissionController,
        loop: EventLoop,
        observer: Observer,
        tracer: Tracer | None = None,
    ) -> None:
        self.upstream = upstream
        self.policy = policy
        self.admission = admission
        self.loop = loop
        self.observer = observer
        self.tracer = tracer

    def handle(self, request: Request, responder: Responder) -> "RequestTask | None":
        """Answer `request` by one call of `responder.respond`, before returning or later (`core.request.Handler`)."""
        try:
            rejection = self._validate(request)
            if rejection is None:
                task = RequestTask(self, request, responder)
                task.start()
                return task
        except Exception:  # noqa: BLE001 (B12: one request pays for an internal error, the worker lives)
            self.observer.internal_error(request)
            rejection = internal_error(request)
        self.report_rejection(request, rejection.code, rejection.code)
        responder.respond(rejection)
        return None

    def report_rejection(self, request: Request, code: str, reason: str) -> None:
        """Report it to telemetry, whose errors never cost a client its response."""
        try:
            self.observer.request_rejected(code, reason)
        except Exception:  # noqa: BLE001 (B12)
            self.observer.internal_error(request)

    def _validate(self, request: Request) -> Response | None:
        """Read the timeout, or return the rejection of what needs no upstream."""
        if request.path != SMART_PATH:
            return problem_response("not_found", "the only path here is /api/smart", request.request_id)
        if request.method not in _ALLOWED:
            return problem_response(
                "method_not_allowed", "use GET or HEAD", request.request_id, headers=b"Allow: GET, HEAD\r\n"
            )
        policy = self.policy
        timeout_ms = parse_timeout_ms(
            request.query, default_ms=policy.default_timeout_ms, max_ms=policy.max_timeout_ms
        )
        if isinstance(timeout_ms, InvalidTimeout):
            return problem_response("bad_timeout", timeout_ms.detail, request.request_id)
        request.timeout_ms = timeout_ms
        return None

    def iteration_finished(self, took_s: float, ended_at: float) -> None:
        """Learn from an iteration of the event loop (`EventLoop.on_iteration`)."""
        self.admission.record_iteration(took_s, ended_at)
        self.observer.iteration_took(took_s)

    def admit_waiting(self, now: float) -> float:
        """Start requests that wait, as far as they are admitted; return when to look again (`EventLoop.admit`)."""
        while True:
            task = self.admission.next_admitted(now)
            if task is None:
                return self.admission.next_admission_at(now)
            assert isinstance(task, RequestTask)  # noqa: S101 (for mypy: it queues nothing else)
            task.admitted()


def internal_error(request: Request) -> Response:
    """Return the response to a request that an internal error ended."""
    return problem_response("internal", "an internal error, it has been logged", request.request_id)


class RequestTask(EventHandler):
    """One valid request: waits for admission, runs its race, answers.

    It is what the event loop wakes and fires deadlines of, and what its connection cancels.
    """

    __slots__ = (
        "_gateway", "_race", "_responder", "_tick", "_until", "_woken", "is_waiting", "request", "wait_until",
    )  # fmt: skip

    def __init__(self, gateway: Gateway, request: Request, responder: Responder) -> None:
        self._gateway = gateway
        self._responder: Responder | None = responder
        self.request = request
        self.is_waiting = False
        """It waits unsent for its admission."""
        self.wait_until = wait_until(request.arrived_at, request.timeout_ms / 1000)
        """The instant until which it may wait."""
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
        self.is_waiting = True
        if gateway.admission.admit_or_queue(self, now):
            self.is_waiting = False
            self._run(now)
        elif now < self.wait_until:
            self._wait_until(self.wait_until)
            gateway.loop.request_admission()
        else:
            self._reject()

    def admitted(self) -> None:
        """Called when the request has waited for its admission and may start now."""
        self.is_waiting = False
        self._forget_deadline()
        self._run(self._gateway.loop.clock())

    def resume(self) -> None:
        """Go on with the race: an attempt has finished, or the instant has come that it waits for."""
        self._woken = False
        race = self._race
        if race is None:
            return
        response: Response | None = None
        try:
            verdict = race.proceed(self._gateway.loop.clock())
            if verdict is not None:
                response = response_for(verdict, self.request)
        except Exception:  # noqa: BLE001 (B12: one request pays for an internal error, the worker lives)
            self._gateway.observer.internal_error(self.request)
            verdict, response = None, internal_error(self.request)
        if response is None:
            self._wait_until(race.wait_until)
        else:
            self._end(response.code, race, verdict)
            self._respond(response)

    def on_attempt_finished(self) -> None:
        """Resume in this iteration of the event loop, once for all attempts that finish in it."""
        if self._race is not None and not self._woken:
            self._woken = True
            self._gateway.loop.wake(self)

    def on_deadline(self) -> None:
        """Called at the instant that the request waits for."""
        self._until = inf
        race, loop = self._race, self._gateway.loop
        if self.is_waiting:
            self._reject()
        elif race is not None and loop.answers_unread and loop.clock() < race.deadline_at:
            # Hedges are due in the middle of a step: what they would race may be there, unread (decision 0013).
            self._wait_until(race.deadline_at)
            loop.wake_after_reading(self)
        else:
            self.resume()

    def cancel(self) -> None:
        """Called when the client has left: nothing further is sent, attempts that run become losers."""
        self._forget_deadline()
        self._responder = None
        race = self._race
        if race is not None:
            self._end("abandoned", race, None)
        elif self.is_waiting:
            self.is_waiting = False
            self._report_end("abandoned", Aborted(()))

    def _run(self, now: float) -> None:
        """Begin the race."""
        gateway, request = self._gateway, self.request
        request.deadline_at = response_deadline(
            request.arrived_at, request.timeout_ms / 1000, gateway.loop.monitor.recent_max_lag_s(now)
        )
        self._race = Race(self._start_attempt, gateway.policy.plan, deadline_at=request.deadline_at)
        self.resume()

    def _start_attempt(self, number: int) -> Attempt:
        gateway, request = self._gateway, self.request
        now = gateway.loop.clock()
        if number == 1:
            request.started_at = now
            if gateway.tracer is not None:
                request.trace = gateway.tracer.start(request)
        attempt = Attempt(number, now, request, self)
        if request.trace is not None:
            attempt.span = request.trace.attempt_started(attempt)
        handle = gateway.upstream.send(attempt)
        if attempt.outcome is None:  # else it has finished on the spot
            attempt.handle = handle
        return attempt

    def _reject(self) -> None:
        """Answer 503: it has waited as long as it may (B11). Under overload most answers are this one."""
        self.is_waiting = False
        gateway = self._gateway
        gateway.report_rejection(self.request, "overloaded", gateway.admission.rejection_reason())
        self._respond(overloaded(self.request.request_id, 1))

    def _end(self, code: str, race: Race, verdict: Verdict | None) -> None:
        """Leave no attempt, deadline or place in admission behind."""
        self._race = None
        race.end()
        self._forget_deadline()
        gateway = self._gateway
        gateway.admission.release()
        if gateway.admission.waiting:
            gateway.loop.request_admission()
        self._report_end(code, Aborted(tuple(race.attempts)) if verdict is None else verdict)

    def _report_end(self, code: str, end: RaceEnd) -> None:
        gateway = self._gateway
        try:
            gateway.observer.request_finished(self.request, code, gateway.loop.clock(), end)
        except Exception:  # noqa: BLE001 (B12: an error of telemetry never costs a client its response)
            gateway.observer.internal_error(self.request)

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
