"""What hedgerow has to do with each request of C19: the RFC's verdict, and hedgerow's own rules, written a second time.

docs/reference/routing-rules.md has these rules, docs/verification/differences.md the reasons of those that are stricter
than the RFCs.
"""

import re
from dataclasses import dataclass

from hedgerow.settings import ClientLimits
from verification.harness.rfc_requests import Request
from verification.harness.rfc_wire import Verdict, listed

LIMITS = ClientLimits(head_timeout_s=0.5)
"""The usual ones, but for the patience with heads that never end: 5 s, for which a campaign would wait."""
MAX_BODY_BYTES = 64 * 1024
"""The default of `max_request_body`."""
METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
"""Those of the route that passes on."""
_CORE_METHODS = frozenset({*METHODS, b"CONNECT", b"TRACE"})
"""RFC 9110 section 9.3, and PATCH. The parser knows many others of IANA's register, not all."""
_PATH = re.compile(rb"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*)+")
_DOTS = re.compile(rb"/(?:\.|%2[Ee]){1,2}(?:[/;]|$)")
_HIDDEN = re.compile(rb"%(?:2[Ff]|5[Cc]|[01][0-9A-Fa-f]|7[Ff])")
_ABSOLUTE = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Due:
    """What a request is due."""

    rule: str
    """The rule that it falls under; nothing where it must pass."""
    statuses: frozenset[int]
    """Those that the rule allows. 200 alone: it must be accepted."""
    closing: frozenset[int]
    """Those behind which the connection must be closed."""


def due(request: Request, *, passes: bool) -> Due:
    """Return what a request is due, on the route that passes on or on the default route."""
    rule = request.rule
    if request.verdict is Verdict.INCOMPLETE:
        return _closing(rule or "waited for", *_statuses_of_incomplete(request, passes=passes))
    if request.verdict is Verdict.REJECT:
        return _closing(rule, *_statuses_of_invalid(request, passes=passes))
    header_bytes = sum(len(name) + len(value) + 4 for name, value in request.fields)
    too_large = header_bytes > LIMITS.max_header_bytes or len(request.fields) > LIMITS.max_headers
    if too_large or len(request.target) > LIMITS.max_target_bytes:
        return _closing("ours: limits of heads", 414, 431)
    own = _own_rules(request, passes=passes)
    if request.verdict is Verdict.VALID:
        return own
    doubtful = _statuses_of_doubtful(rule)
    return Due(rule, own.statuses | doubtful, own.closing | doubtful)


def expected_target(request: Request) -> bytes:
    """Return the target as the upstream has to get it: the origin form (RFC 9112 section 3.2.1)."""
    absolute = _ABSOLUTE.fullmatch(request.target)
    if absolute is None:
        return request.target
    return absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]


def _closing(rule: str, *statuses: int) -> Due:
    return Due(rule, frozenset(statuses), frozenset(statuses))


def _keeping(rule: str, *statuses: int) -> Due:
    return Due(rule, frozenset(statuses), frozenset())


def _statuses_of_incomplete(request: Request, *, passes: bool) -> frozenset[int]:
    if not request.in_body:  # what has come may be enough to reject it
        return frozenset({400, 408, 414, 431, 505})
    if passes and request.length > MAX_BODY_BYTES:
        return frozenset({400, 413} if request.rule else {413})
    statuses = frozenset({408} if passes else {400, 405})  # the default route reads no bodies
    return statuses | _statuses_of_doubtful(request.rule) if request.rule else statuses


def _statuses_of_invalid(request: Request, *, passes: bool) -> set[int]:
    rule = request.rule
    if rule.startswith(("9110 2.5", "9112 2.3: no version", "9113")):
        return {400, 505}
    if rule == "9112 2.3: another protocol":  # of ICE the parser says that it is HTTP
        return {400, 404, 405}
    statuses = {400, 501} if rule.endswith("chunked is not the last coding") else {400}
    if (request.in_body or rule.startswith("9112 3.2: a fragment")) and not passes:
        statuses |= {405}  # that it has a body was seen before
    return statuses


def _statuses_of_doubtful(rule: str) -> frozenset[int]:
    if "transfer coding" in rule or "empty member" in rule:
        return frozenset({400, 501})
    return frozenset({505 if rule.startswith("9110 2.5") else 400})


def _own_rules(request: Request, *, passes: bool) -> Due:
    """Return what a valid request is due."""
    if request.method not in _CORE_METHODS:
        kept = {405} if request.has_body else {404, 405}
        closing = {400, 405} if request.has_body else {400}
        return Due("ours: methods that the parser does not know", frozenset({400, *kept}), frozenset(closing))
    if any(value not in (b"", b"100-continue") for value in listed(request.fields, b"expect")):
        return _closing("ours: expectations", 417)
    return _own_rules_of_passing(request) if passes else _own_rules_of_default_route(request)


def _own_rules_of_passing(request: Request) -> Due:
    if request.method == b"CONNECT":
        return _closing("ours: CONNECT", 400, 404, 405)
    absolute = _ABSOLUTE.fullmatch(request.target)
    if absolute is not None:
        hosts = [value.lower() for name, value in request.fields if name == b"host"]
        if hosts != [absolute[1].lower()]:
            return _closing("ours: another host in the target", 400)
    closing_with_body = _closing if request.has_body else _keeping
    path = expected_target(request).partition(b"?")[0]
    if path == b"*" and request.method == b"OPTIONS":
        return _keeping("ours: OPTIONS of the server", 404)
    if not path.startswith(b"/"):
        return Due("ours: other forms of targets", frozenset({400, 404}), frozenset())
    if b"//" in path or not _PATH.fullmatch(path) or _DOTS.search(path) or _HIDDEN.search(path):
        return closing_with_body("ours: paths", 400)
    if request.method not in METHODS:
        return closing_with_body("ours: a method that no route has", 405)
    if len(request.body) > MAX_BODY_BYTES:
        return _closing("ours: the limit of bodies", 413)
    return _keeping("", 200)


def _own_rules_of_default_route(request: Request) -> Due:
    """Return the same for the default route; none of the corpora has its path."""
    if request.has_body:
        return _closing(
            "ours: the default route has no bodies", 400 if request.method in (b"GET", b"HEAD") else 405
        )
    if request.target.startswith(b"/"):
        return _keeping("ours: the default route's path", 404)
    return _keeping("ours: the default route's path", 400, 404)
