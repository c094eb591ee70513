"""A client of C19 that asks once on a connection of its own, and what it gets, by plain arithmetic."""

import asyncio
import json
from dataclasses import dataclass

from verification.harness.rfc_wire import Fields

PATIENCE_S = 30.0
"""Beyond all timeouts of the gateway."""


@dataclass(slots=True)
class Got:
    """What a client gets; a status of 0: nothing."""

    status: int = 0
    fields: Fields = ()
    body: bytes = b""

    @property
    def failure(self) -> str:
        """Return how the attempt ended if the answer is the gateway's own; nothing if it is the upstream's."""
        if self.status not in (502, 504) or (b"content-type", b"application/problem+json") not in self.fields:
            return ""
        if not self.body:  # to HEAD
            return "not shown"
        return str(json.loads(self.body)["attempts"][0]["outcome"])


async def ask(port: int, method: bytes, path: str, headers: bytes = b"") -> Got:
    """Ask, and read what comes until the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            head = b"%b %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b\r\n" % (
                method,
                path.encode(),
                headers,
            )
            writer.write(head)
            data = await reader.read()
    except OSError:  # TimeoutError is one: what has come counts
        pass
    writer.close()
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return Got()
    line, *lines = head.split(b"\r\n")
    pairs = (each.partition(b":") for each in lines)
    fields = tuple((name.lower(), value.strip(b" \t")) for name, _, value in pairs)
    return Got(int(line.split(b" ")[1]), fields, body)
