"""Clients that ask without a pause on keep-alive connections, as connection pools do.

A request is lost when it was sent whole and no whole response came. A client that can no longer connect ends: that is
no loss, for nothing was sent.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from support.processes import GatewayProcess

CLIENTS = 64
POLL_S = 0.01
REQUEST = b"GET /api/smart?timeout=5000 HTTP/1.1\r\nHost: hedgerow\r\n\r\n"


@dataclass
class Seen:
    """What the clients of one round saw."""

    answered: int = 0
    lost: list[str] = field(default_factory=list)
    in_flight: dict[int, int] = field(default_factory=dict)
    """By the client's port, so that requests are attributed to a worker."""


async def ask_until(stop: asyncio.Event, gateway: GatewayProcess, seen: Seen) -> None:
    """Run one client until `stop` is set, or until it can no longer connect."""
    while not stop.is_set():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        except OSError:
            return
        port = writer.get_extra_info("sockname")[1]
        try:
            while not stop.is_set():
                seen.in_flight[port] = 1
                writer.write(REQUEST)
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                seen.in_flight[port] = 0
                seen.answered += 1
                if b"connection: close" in head.lower():
                    break
        except (OSError, asyncio.IncompleteReadError) as error:
            seen.lost.append(f"{port}: {error!r}")
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def client_ports(worker: psutil.Process) -> set[int]:
    """Return the ports of the peers of a process' connections."""
    return {
        connection.raddr.port
        for connection in worker.net_connections(kind="tcp")
        if connection.status == psutil.CONN_ESTABLISHED
    }
