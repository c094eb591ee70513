"""The path of one request, from its head to its reply."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from hedgerow.admission import TOO_LATE, Admission, Refusal
from hedgerow.core.hedging import HedgePlan, hedge
from hedgerow.core.observer import Observer
from hedgerow.core.outcomes import Attempt, AttemptHandle, OutOfTime, RequestTrace
from hedgerow.core.request import Request
from hedgerow.core.response import Response, overloaded, problem_response, response_for
from hedgerow.core.timeout_param import InvalidTimeout, parse_timeout_ms
from hedgerow.eventloop.deadlines import response_deadline
from hedgerow.trampoline import Run, Trampoline

SMART_PATH: Final = b"/api/smart"
QUEUED_S: Final = 0.005
"""A request that is this old when we first look at it has lain in our queue, whatever its timeout."""
_ALLOWED: Final = (b"GET", b"HEAD")


class Upstream(Protocol):
    """What a race needs of the upstream."""

    def carry(self, attempt: Attempt) -> AttemptHandle:
        """Send the attempt's request; report by `attempt.end`, perhaps before returning. Never raises."""


class Tracer(Protocol):
    """Decides which requests are recorded."""

    def begin(self, request: Request, timeout_ms: int) -> RequestTrace | None:
        """Tell the trace that an admitted request is part of; perhaps a new one, or none."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator chose: when to ask again, and how long a caller may wait."""

    plan: HedgePlan
    default_timeout_ms: int
    max_timeout_ms: int


class Gateway:
    """Answers requests: the smart endpoint, and a clear error everywhere else."""

    def __init__(
        self,
        upstream: Upstream,
        policy: Policy,
        *,
        admission: Admission,
        trampoline: Trampoline,
        observer: Observer,
        tracer: Tracer | None = None,
    ) -> None:
        self._upstream = upstream
        self._policy = policy
        self._admission = admission
        self._trampoline = trampoline
        self._observer = observer
        self._tracer = tracer

    @property
    def in_flight(self) -> int:
        """Requests that were admitted and are not over."""
        return self._admission.in_flight

    def handle(self, request: Request, respond: Callable[[Response], None]) -> Run[Response] | None:
        """Answer `request` by one call of `respond`, before returning or later. None if it was refused.

        Whoever holds the run cancels it when the caller leaves; `respond` is not called then.
        """
        try:
            timeout_ms = self._admit(request)
        except Exception:  # noqa: BLE001 (B12)
            timeout_ms = self._bug(request, request.trace)
            self._observer.request_rejected("internal", "internal")
        if isinstance(timeout_ms, Response):
            respond(timeout_ms)
            return None
        run = Run(self._trampoline, respond)
        run.begin(self._answer(request, timeout_ms, run))
        return run

    def _admit(self, request: Request) -> int | Response:
        """Tell the timeout in milliseconds; or refuse what needs no upstream, before any coroutine or span."""
        if request.path != SMART_PATH:
            return self._reject(request, "not_found", "the only path here is /api/smart")
        if request.method not in _ALLOWED:
            return self._reject(
                request, "method_not_allowed", "use GET or HEAD", headers=b"Allow: GET, HEAD\r\n"
            )
        policy = self._policy
        timeout_ms = parse_timeout_ms(
            request.query, default_ms=policy.default_timeout_ms, max_ms=policy.max_timeout_ms
        )
        if isinstance(timeout_ms, InvalidTimeout):
            return self._reject(request, "bad_timeout", timeout_ms.detail)
        now = self._trampoline.clock()
        queued_s, timeout_s = now - request.arrived_at, timeout_ms / 1000
        if queued_s > QUEUED_S and queued_s >= timeout_s:
            self._trampoline.hurry()
            return self._refuse(request, TOO_LATE)
        refusal = self._admission.try_enter(timeout_s, request.arrived_at, now)
        if refusal is not None:
            return self._refuse(request, refusal)
        return timeout_ms

    def _refuse(self, request: Request, refusal: Refusal) -> Response:
        """Say no to what could not be answered in time (B11). Under overload most answers are this one."""
        self._observer.request_rejected("overloaded", refusal.reason)
        return overloaded(request.request_id, refusal.retry_after_s)

    def _reject(self, request: Request, code: str, detail: str, *, headers: bytes = b"") -> Response:
        self._observer.request_rejected(code, code)
        return problem_response(code, detail, request.request_id, headers=headers)

    def _bug(self, request: Request, trace: RequestTrace | None) -> Response:
        self._observer.bug(request.request_id, trace)
        return problem_response("internal", "a bug of the gateway's, it has been logged", request.request_id)

    async def _answer(self, request: Request, timeout_ms: int, run: Run[Response]) -> None:
        """Run the race and tell its verdict. This is the border of the request: our own bugs end here, as a 500."""
        clock, observer, on_mail = self._trampoline.clock, self._observer, run.post
        trace: RequestTrace | None = request.trace

        def launch(number: int) -> Attempt:
            attempt = Attempt(number, clock(), on_mail, request.request_id, deadline_at)
            if trace is not None:
                attempt.span = trace.attempt_began(attempt)
            attempt.handle = self._upstream.carry(attempt)
            return attempt

        observer.request_began()
        verdict = None
        try:
            if self._tracer is not None:
                trace = self._tracer.begin(request, timeout_ms)
            deadline_at = response_deadline(
                request.arrived_at, timeout_ms / 1000, self._trampoline.turns.lag_s
            )
            verdict = await hedge(launch, self._policy.plan, deadline_at=deadline_at, clock=clock)
            if isinstance(verdict, OutOfTime):
                self._trampoline.hurry()
            reply = response_for(
                verdict, request_id=request.request_id, arrived_at=request.arrived_at, timeout_ms=timeout_ms
            )
        except GeneratorExit:  # the run was cancelled: the caller has left
            observer.request_abandoned(request.request_id, request.arrived_at, clock(), trace)
            raise
        except Exception:  # noqa: BLE001 (B12: one request pays for our bug, the server lives)
            reply = self._bug(request, trace)
        finally:
            self._admission.leave()
        ended_at = clock()
        observer.request_ended(request.request_id, reply.code, request.arrived_at, ended_at, verdict, trace)
        observer.answered(ended_at - request.arrived_at - timeout_ms / 1000)
        run.returns(reply)
