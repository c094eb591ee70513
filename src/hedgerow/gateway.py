"""What answers requests: the smart endpoint, and a clear error everywhere else."""

from dataclasses import dataclass
from typing import Final, Protocol

from hedgerow.admission.controller import AdmissionController
from hedgerow.core.hedge_limit import HedgeLimit
from hedgerow.core.hedging import HedgePlan
from hedgerow.core.observer import Observer
from hedgerow.core.outcomes import AttemptSender, RequestTrace
from hedgerow.core.request import Handler, Request, Responder
from hedgerow.core.response import Response, problem_response
from hedgerow.core.timeout_param import InvalidTimeout, parse_timeout_ms
from hedgerow.eventloop.loop import EventLoop
from hedgerow.request_task import RequestTask, internal_error

SMART_PATH: Final = b"/api/smart"
_ALLOWED: Final = (b"GET", b"HEAD")


class Tracer(Protocol):
    """Decides which requests are recorded."""

    def start(self, request: Request) -> RequestTrace | None:
        """Return the trace that an admitted request is part of: the client's, a new one, or none."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's settings: when to hedge, and the limits of client timeouts."""

    plan: HedgePlan
    default_timeout_ms: int
    max_timeout_ms: int
    hedge_limit: HedgeLimit | None = None
    """What holds hedges back; None: nothing does."""


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

    def handle(self, request: Request, responder: Responder) -> RequestTask | None:
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
