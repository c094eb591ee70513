"""The front edge: HTTP/1.1 towards callers, for the main port and the operations port alike."""

from hedgerow.http_front.server import IDLE_GRACE_S, HttpFront

__all__ = ["IDLE_GRACE_S", "HttpFront"]
