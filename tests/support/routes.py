"""Routes for tests of what serves them."""

from hedgerow.core.answer_rules import AnswerRules
from hedgerow.core.forwarding import ClientMessage, ForwardedRequest
from hedgerow.core.hedge_limit import HedgeLimit
from hedgerow.core.hedging import HedgePlan
from hedgerow.core.outcomes import Attempt, AttemptHandle, AttemptSender
from hedgerow.core.request import Request
from hedgerow.core.request_head import RequestHead
from hedgerow.core.route import HedgeDelay, Route, RouteTable


class UnusedUpstream(AttemptSender):
    """A route's upstream that is sent nothing."""

    def send(self, attempt: Attempt) -> AttemptHandle:
        raise NotImplementedError


def head_of(*fields: tuple[bytes, bytes], host: bytes = b"x", has_query: bool = False) -> RequestHead:
    """Return the head of a request with these headers."""
    head = RequestHead(b"\r\n" + b"".join([b"%b: %b\r\n" % field for field in fields]))
    head.host, head.has_query = host, has_query
    return head


def passed_on_request(
    method: bytes = b"GET",
    body: bytes = b"",
    *,
    host: bytes = b"",
    deadline_header: bytes = b"",
    rules: AnswerRules | None = None,
    max_response_body: int = 0,
) -> Request:
    """Return a request for /a?b that a client at 192.0.2.1 has sent, and that is passed on with one header."""
    request = Request(method, b"/a", b"b", request_id=b"id", arrived_at=10.0)
    request.deadline_at = 11.0
    request.message = ClientMessage(head_of(host=b"", has_query=True))
    request.message.forwarded = ForwardedRequest(b"/a?b", host, b"A: 1\r\n", b"X-Forwarded-For: ", 900)
    request.message.address = b"192.0.2.1"
    request.message.body = body
    request.route = Route(
        "r",
        UnusedUpstream(),
        HedgePlan(0.3, 2),
        default_timeout_ms=900,
        max_timeout_ms=900,
        deadline_header=deadline_header,
        rules=rules,
        max_response_body=max_response_body,
    )
    return request


def smart_route(
    upstream: AttemptSender,
    plan: HedgePlan,
    default_ms: int = 10_000,
    max_ms: int = 60_000,
    hedge_limit: HedgeLimit | None = None,
    *,
    sample: float = 1.0,
    delay: HedgeDelay | None = None,
) -> Route:
    """Return the default route."""
    return Route(
        "/api/smart",
        upstream,
        plan,
        default_timeout_ms=default_ms,
        max_timeout_ms=max_ms,
        hedge_limit=hedge_limit,
        sample=sample,
        delay=delay,
    )


def only(route: Route) -> RouteTable:
    """Return a table of the default route alone."""
    return RouteTable([route], [b"/api/smart"], [b""])
