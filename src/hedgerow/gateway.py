"""What answers requests: the routes, and a clear error everywhere else."""

from http import HTTPStatus
from typing import Final, Protocol

from hedgerow.admission.controller import AdmissionController
from hedgerow.core.forwarding import ClientMessage, loop_problem
from hedgerow.core.observer import Observer
from hedgerow.core.request import Handler, Request, Responder
from hedgerow.core.request_head import RequestHead
from hedgerow.core.request_path import path_problem
from hedgerow.core.response import Response, problem_response
from hedgerow.core.route import Route, RouteTable
from hedgerow.core.timeout_param import InvalidTimeout, parse_timeout_ms
from hedgerow.core.traces import RequestTrace
from hedgerow.eventloop.loop import EventLoop
from hedgerow.request_task import RequestTask, internal_error

SMART_PATH: Final = b"/api/smart"


class Tracer(Protocol):
    """Decides which requests are recorded."""

    def start(self, request: Request) -> RequestTrace | None:
        """Return the trace that an admitted request is part of: the client's, a new one, or none."""


class Gateway(Handler):
    """Answers requests: by their route, and with a clear error everywhere else."""

    def __init__(
        self,
        routes: RouteTable,
        *,
        admission: AdmissionController,
        loop: EventLoop,
        observer: Observer,
        tracer: Tracer | None = None,
    ) -> None:
        self.routes = routes
        self.admission = admission
        self.loop = loop
        self.observer = observer
        self.tracer = tracer
        self._last: tuple[bytes, bytes, bytes, Route, int] | None = None
        """Method, path, query, route and timeout of the last request that was found valid and is not passed on."""

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
        is_late = rejection.status == HTTPStatus.REQUEST_TIMEOUT
        self.answered_by_error(rejection.code, "slow_body" if is_late else rejection.code, request)
        responder.respond(rejection)
        return None

    def answered_by_error(self, code: str, reason: str, request: Request | None) -> None:
        """Report a request that was answered by an error at once; also one of which no whole head came."""
        self.admission.record_error()
        self.report_rejection(request, code, reason)

    def report_rejection(self, request: Request | None, code: str, reason: str) -> None:
        """Report it to telemetry, whose errors never cost a client its response."""
        try:
            self.observer.request_rejected(code, reason, request)
        except Exception:  # noqa: BLE001 (B12)
            self.observer.internal_error(request)

    def max_body_bytes(self, request: Request) -> int:
        """Return how long a body the request may have, -1 if none is to be read (`core.request.Handler`)."""
        if not self._is_valid(request):
            return -1
        route = request.route
        return route.max_request_body if route.accepts_bodies else -1

    def timeout_ms(self, request: Request) -> int:
        """Return how long the client waits, 0 if it gets an error at once (`core.request.Handler`)."""
        return request.timeout_ms if self._is_valid(request) else 0

    def _is_valid(self, request: Request) -> bool:
        """Return whether its route and timeout were set."""
        try:
            return self._validate(request) is None
        except Exception:  # noqa: BLE001 (B12: `handle` meets it again, and reports it)
            return False

    def _validate(self, request: Request) -> Response | None:
        """Set the request's route and timeout, or return the rejection of what needs no upstream."""
        message = request.message
        if message is not None and message.head is not None and message.head.forwarded is not None:
            return self._forward_again(request, message, message.head)
        if message is None and self._is_like_last(request):
            return None
        matched = self.routes.match(request.path)
        if matched is None:
            return problem_response("not_found", self.routes.unmatched_detail, request.request_id)
        route = matched.by_method.get(request.method)
        if route is None:
            detail = "use " + " or ".join(matched.allow.decode("ascii").rsplit(", ", 1))
            return problem_response(
                "method_not_allowed", detail, request.request_id, headers=b"Allow: %b\r\n" % matched.allow
            )
        request.route = route
        if message is not None:
            return self._forward(request, route, message)
        timeout_ms = parse_timeout_ms(
            request.query,
            default_ms=route.default_timeout_ms,
            max_ms=route.max_timeout_ms,
            prefix=route.timeout_prefix,
        )
        if isinstance(timeout_ms, InvalidTimeout):
            return problem_response("bad_timeout", timeout_ms.detail, request.request_id)
        request.timeout_ms = timeout_ms
        self._last = request.method, request.path, request.query, route, timeout_ms
        return None

    def _is_like_last(self, request: Request) -> bool:
        """Return whether the last valid request had the same bytes; then the route and timeout are set to its."""
        last = self._last
        if last is None:
            return False
        method, path, query, route, timeout_ms = last
        # The cache of parsed requests returns the same objects for the same bytes.
        if request.query is not query or request.path is not path or request.method is not method:
            return False
        request.route = route
        request.timeout_ms = timeout_ms
        return True

    def _forward(self, request: Request, route: Route, message: ClientMessage) -> Response | None:
        """Decide what is passed on, once for all requests of the same bytes."""
        head = message.head
        assert head is not None  # noqa: S101 (for mypy: it is dropped when the request is over)
        problem = path_problem(request.path) or loop_problem(head)
        if problem and route.forwarding is not None:
            return problem_response("bad_request", problem, request.request_id)
        timeout_ms = route.timeout_ms(request.query, head)
        if isinstance(timeout_ms, InvalidTimeout):
            return problem_response("bad_timeout", timeout_ms.detail, request.request_id)
        request.timeout_ms = timeout_ms
        if route.forwarding is None:
            return self._body_problem(request, message)
        head.forwarded = route.forwarding.forward(request.path, request.query, head, timeout_ms)
        head.route = route
        return self._forward_again(request, message, head)

    def _forward_again(self, request: Request, message: ClientMessage, head: RequestHead) -> Response | None:
        """Pass on what was decided for the same bytes before."""
        forwarded, route = head.forwarded, head.route
        assert forwarded is not None  # noqa: S101 (for mypy)
        assert route is not None  # noqa: S101 (for mypy)
        request.route = route
        message.forwarded = forwarded
        request.timeout_ms = forwarded.timeout_ms
        if message.has_refused_body or message.body_arrived_at:
            return self._body_problem(request, message)
        return None

    def _body_problem(self, request: Request, message: ClientMessage) -> Response | None:
        """Return the rejection of a request for its body."""
        if message.has_refused_body:
            return problem_response(
                "bad_request", "a request with a body is not accepted", request.request_id
            )
        if message.body_arrived_at - request.arrived_at >= request.timeout_ms / 1000:
            detail = f"the body has not come whole within the timeout of {request.timeout_ms} ms"
            return problem_response(
                "bad_request", detail, request.request_id, status=HTTPStatus.REQUEST_TIMEOUT
            )
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
