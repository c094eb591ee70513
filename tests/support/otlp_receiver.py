"""A receiver of OTLP/HTTP in this process: it decodes what exporters send, by the protocol's own definitions."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Event, Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

READ_TIMEOUT_S = 30


@dataclass(frozen=True)
class Received:
    """A span, with what its resource and its request to us said."""

    span: Span
    resource: dict[str, Any]
    headers: dict[str, str]
    path: str

    @property
    def attributes(self) -> dict[str, Any]:
        return _plain(self.span.attributes)


def _plain(attributes: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}


class Receiver:
    """Takes spans in, refuses them, or lets exporters wait."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        """What it answers."""
        self.goes_on = Event()
        """While it is not set, requests wait for their answer."""
        self.goes_on.set()
        self.requests = 0
        self._spans: list[Received] = []
        self._changed = Condition()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        data = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        decoded = ExportTraceServiceRequest.FromString(data)
        spans = [
            Received(span, _plain(resource.resource.attributes), headers, path)
            for resource in decoded.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._changed:
            self.requests += 1
            if self.status == 200:
                self._spans += spans
            self._changed.notify_all()
        self.goes_on.wait(READ_TIMEOUT_S)
        return self.status

    def spans_when(self, holds: Callable[[list[Received]], bool]) -> list[Received]:
        """Wait until something holds of all that was received; pytest-timeout bounds it."""
        with self._changed:
            self._changed.wait_for(lambda: holds(self._spans))
            return list(self._spans)

    def asked(self, times: int) -> None:
        """Wait until so many requests have come."""
        with self._changed:
            self._changed.wait_for(lambda: self.requests >= times)


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.take(self.path, headers, self.rfile.read(int(headers["content-length"])))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is http.server's)
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # an exporter that was killed while it waited

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.goes_on.set()
            server.shutdown()
            thread.join()
