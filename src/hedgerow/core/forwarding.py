"""What of a client's request goes to the upstream: target, host and end-to-end headers (R02 of the behaviour)."""

import re
from typing import Final

from hedgerow.core.header_fields import Noted, lenient_pattern_of, lines_of, named_by, without_names
from hedgerow.core.request_head import ALWAYS_NOTED, RequestHead
from hedgerow.core.timeout_param import without_parameter

_VIA: Final = b"Via: 1.1 hedgerow\r\n"
"""A gateway must add itself to requests, and may leave itself out of responses (RFC 9110 section 7.6.3)."""
_VIA_1_0: Final = b"Via: 1.0 hedgerow\r\n"
"""To requests of HTTP/1.0."""
_PSEUDONYM: Final = re.compile(rb"1\.[01] hedgerow")
MAX_PASSES: Final = 10
"""A request that has passed through a hedgerow as often goes in a loop: a sidecar, a gateway and another sidecar are
three. Each pass may be hedged, so a loop would make thousands of requests of one."""


_PASSED: Final = frozenset(
    (b"accept-encoding", b"accept_encoding", b"via", b"x-forwarded-host", b"x-forwarded-proto")
)
"""Headers that are looked at, and passed on all the same."""


def _begin_of(line: Noted) -> int:
    return line[2]


class ForwardedRequest:
    """What is passed on of a request, as far as it is the same for each attempt and for each endpoint."""

    __slots__ = ("forwarded_for", "headers", "host", "target", "timeout_ms")

    def __init__(
        self, target: bytes, host: bytes, headers: bytes, forwarded_for: bytes, timeout_ms: int
    ) -> None:
        self.target = target
        """Path and query, without the base path of the endpoint."""
        self.host = host
        """The client's Host header; empty: the endpoint's."""
        self.headers = headers
        """Whole header lines."""
        self.forwarded_for = forwarded_for
        """The begin of the line that ends with the client's address; empty: there is none."""
        self.timeout_ms = timeout_ms


def loop_problem(head: RequestHead) -> str:
    """Return that a request goes in a loop, as its Via says, or an empty text."""
    passes = sum([len(_PSEUDONYM.findall(value)) for name, value, _, _ in head.noted if name == b"via"])
    return (
        f"it has passed through hedgerow {passes} times: it goes in a loop (Via)"
        if passes >= MAX_PASSES
        else ""
    )


class ClientMessage:
    """A request as its client sent it, on a server whose routes pass requests on."""

    __slots__ = ("address", "body", "body_arrived_at", "body_bytes", "forwarded", "has_refused_body", "head")

    def __init__(self, head: RequestHead) -> None:
        self.head: RequestHead | None = head
        self.forwarded: ForwardedRequest | None = None
        """What the upstream gets of it; None where the route has a request of its own."""
        self.address = b""
        """The client's."""
        self.body = b""
        self.body_bytes = 0
        """The length of the body, also after it was dropped."""
        self.body_arrived_at = 0.0
        """When the last byte of the body came; infinite: it has not come in time. 0 without a body."""
        self.has_refused_body = False
        """It has a body that was not read: its route accepts none, or its head is rejected."""

    def drop(self) -> None:
        """Keep neither headers nor body: records of requests keep them for a while. No attempt is sent any more."""
        self.head = self.forwarded = None
        self.body = b""


class Forwarding:
    """How the requests of one route are passed on."""

    __slots__ = (
        "_ours", "_parameter", "_pattern", "_preserves_host", "_replaces", "_replaces_all", "_rewritten",
        "_set_or_removed",
    )  # fmt: skip

    def __init__(
        self,
        *,
        replaces: bytes = b"",
        rewritten: bytes = b"",
        replaces_all: bool = False,
        preserves_host: bool = False,
        set_headers: dict[bytes, bytes] | None = None,
        removed: tuple[bytes, ...] = (),
        parameter: bytes = b"",
        deadline_header: bytes = b"",
        asks_identity: bool = False,
    ) -> None:
        """Put `rewritten` in the place of the path prefix `replaces`, or of the whole path if it `replaces_all`.

        `parameter` is the query parameter of the timeout, which is not passed on; `removed` is in lower case.
        `asks_identity`: the body is to be read here, so that the client's Accept-Encoding is not passed on.
        """
        self._replaces = replaces.rstrip(b"/")
        self._rewritten = rewritten if replaces_all else rewritten.rstrip(b"/")
        self._replaces_all = replaces_all
        self._preserves_host = preserves_host
        self._parameter = parameter
        set_headers = set_headers or {}
        ours = [b"%b: %b\r\n" % field for field in set_headers.items()]
        self._ours = b"".join([b"Accept-Encoding: identity\r\n" if asks_identity else b"", *ours])
        """Lines of each request."""
        names = {name.lower() for name in set_headers} | set(removed)
        if deadline_header:
            names.add(deadline_header.lower())
        if asks_identity:
            names.add(b"accept-encoding")
        names = {name.replace(b"_", b"-") for name in names}
        others = frozenset(names - ALWAYS_NOTED)
        self._pattern = lenient_pattern_of(others) if others else None
        self._set_or_removed = frozenset(names | {name.replace(b"-", b"_") for name in names})

    def forward(self, path: bytes, query: bytes, head: RequestHead, timeout_ms: int) -> ForwardedRequest:
        """Return what is passed on of a request with this head."""
        forwarded_for: list[bytes] = []
        return ForwardedRequest(
            self._target(path, query, head),
            head.host if self._preserves_host else b"",
            self._headers(head, forwarded_for),
            self._forwarded_for(forwarded_for),
            timeout_ms,
        )

    def _headers(self, head: RequestHead, forwarded_for: list[bytes]) -> bytes:
        """Return what is passed on of its header lines, with ours; values of X-Forwarded-For are put aside."""
        lines, found = head.lines, head.noted
        if self._pattern is not None:
            found = sorted({*found, *lines_of(self._pattern, lines)}, key=_begin_of)
        named = named_by([value for name, value, _, _ in found if name == b"connection"])
        kept: list[bytes] = []
        kept_from = 2
        has_host = has_protocol = False
        for name, value, begin, end in found:
            if name not in self._set_or_removed and name not in named:
                if name in _PASSED:
                    has_host = has_host or name == b"x-forwarded-host"
                    has_protocol = has_protocol or name == b"x-forwarded-proto"
                    continue
                if name == b"x-forwarded-for":
                    forwarded_for.append(value)
            kept.append(lines[kept_from:begin])
            kept_from = end
        kept.append(lines[kept_from:])
        if named:
            kept = [without_names(b"".join(kept), named)]
        if not has_protocol and b"x-forwarded-proto" not in self._set_or_removed:
            kept.append(b"X-Forwarded-Proto: http\r\n")  # clients reach us in clear text
        if head.host and not has_host and b"x-forwarded-host" not in self._set_or_removed:
            kept.append(b"X-Forwarded-Host: %b\r\n" % head.host)
        kept.append(_VIA_1_0 if head.is_http_1_0 else _VIA)
        kept.append(self._ours)
        return b"".join(kept)

    def _forwarded_for(self, earlier: list[bytes]) -> bytes:
        if b"x-forwarded-for" in self._set_or_removed:
            return b""
        return b"X-Forwarded-For: %b" % b"".join([value + b", " for value in earlier if value])

    def _target(self, path: bytes, query: bytes, head: RequestHead) -> bytes:
        prefix = self._replaces
        if self._replaces_all:
            path = self._rewritten
        elif (prefix or self._rewritten) and (path == prefix or path.startswith(prefix + b"/")):
            path = self._rewritten + path[len(prefix) :] or b"/"
        if not head.has_query:
            return path
        if not self._parameter:
            return b"%b?%b" % (path, query)
        rest = without_parameter(query, self._parameter)
        return path if query and not rest else b"%b?%b" % (path, rest)
