"""nginx and HAProxy before a gateway, and what they log: which requests they saw, and which they passed on.

They pass on as much as they can be made to: what they refuse themselves proves nothing of the gateway. Each request
that is passed on gets an id from the proxy.
"""

import asyncio
import socket
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.other_servers import haproxy, nginx


@dataclass(frozen=True, slots=True)
class Logged:
    """One line of a proxy's log."""

    request_id: str
    answered: bool
    """Bytes went to the client."""
    passed_on: bool
    """The gateway was asked."""


class Log(asyncio.DatagramProtocol):
    """What a proxy logs, as datagrams: `|port id status bytes server|` in each, with a hyphen for no server."""

    def __init__(self) -> None:
        self.lines: defaultdict[int, list[Logged]] = defaultdict(list)
        """By the port of the client."""

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 (asyncio's)
        port, request_id, status, size, server = data.decode("latin-1").split("|")[1].split()
        passed_on = server not in ("-", "<NOSRV>")
        self.lines[int(port)].append(Logged(request_id, size != "0" and status != "0", passed_on))

    @property
    def passed_on(self) -> list[str]:
        """The ids of all requests that the gateway has to have got."""
        return [line.request_id for lines in self.lines.values() for line in lines if line.passed_on]


_NGINX_HTTP = (
    "log_format marks '|$remote_port $request_id $status $bytes_sent $upstream_addr|';"
    "map $http_host $host_or_none {{ '' none; default $http_host; }}"
    "upstream gateway {{ server 127.0.0.1:{gateway}; keepalive 8; }}"
)
_NGINX_SERVER = """
  access_log syslog:server=127.0.0.1:{log},nohostname marks;
  ignore_invalid_headers off; underscores_in_headers on; merge_slashes off;
  client_header_timeout 200ms; keepalive_timeout 50ms; client_body_timeout 1s; lingering_timeout 200ms;
  add_header X-Method $request_method always;
  location / {{
    proxy_pass http://gateway; proxy_http_version 1.1; proxy_next_upstream off; proxy_request_buffering off;
    proxy_set_header Connection ""; proxy_set_header Host $host_or_none; proxy_set_header X-Request-Id $request_id;
  }}"""
_HAPROXY_LISTEN = """
  log 127.0.0.1:{log} len 1024 format raw local0
  log-format "|%cp %[var(txn.id)] %ST %B %s|"
  timeout http-request 200ms
  timeout http-keep-alive 50ms
  timeout client 1s
  http-reuse always
  http-request set-var(txn.id) uuid()
  http-request set-header X-Request-Id %[var(txn.id)]
  http-request set-var(txn.method) method
  http-after-response set-header X-Method %[var(txn.method)]
  server gateway 127.0.0.1:{gateway}"""


@contextmanager
def nginx_before(port: int, log_port: int) -> Iterator[str]:
    """Run nginx before a gateway."""
    server, http = _NGINX_SERVER.format(log=log_port), _NGINX_HTTP.format(gateway=port)
    with tempfile.TemporaryDirectory() as folder, nginx(Path(folder), server, http) as url:
        yield url


@contextmanager
def haproxy_before(port: int, log_port: int) -> Iterator[str]:
    """Run HAProxy before a gateway."""
    listen = _HAPROXY_LISTEN.format(gateway=port, log=log_port)
    with tempfile.TemporaryDirectory() as folder, haproxy(Path(folder), listen) as url:
        yield url


PROXIES = {"nginx": nginx_before, "HAProxy": haproxy_before}


@asynccontextmanager
async def logging() -> AsyncIterator[tuple[Log, int]]:
    """Listen for a proxy's log; gives the port, too."""
    transport, log = await asyncio.get_running_loop().create_datagram_endpoint(
        Log, local_addr=("127.0.0.1", 0)
    )
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
    try:
        yield log, sock.getsockname()[1]
    finally:
        transport.close()
