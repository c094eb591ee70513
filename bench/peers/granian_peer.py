"""The gateway with granian (RSGI, uvloop) and pyreqwest, server and client in Rust.

`UPSTREAM=… granian --interface rsgi granian_peer:app`
"""

import os
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

from hedged import answer, is_success
from pyreqwest.client import Client, ClientBuilder  # type: ignore[import-not-found]
from pyreqwest.exceptions import PyreqwestError  # type: ignore[import-not-found]

UPSTREAM = os.environ["UPSTREAM"]
NEVER = timedelta(days=1)


class App:
    """One worker's application; its client is made on its loop."""

    client: Client | None = None

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request."""
        if scope.path != "/api/smart":
            protocol.response_empty(404, [])
            return
        if self.client is None:
            self.client = ClientBuilder().max_connections(None).timeout(NEVER).follow_redirects(False).build()
        timeout_ms = parse_qs(scope.query_string).get("timeout", [None])[0]
        status, body = await answer(timeout_ms, self.attempt)
        kind = "application/json" if status == 200 else "application/problem+json"
        protocol.response_bytes(status, [("content-type", kind)], body)

    async def attempt(self) -> bytes | None:
        """Ask once."""
        assert self.client is not None
        try:
            response = await self.client.get(UPSTREAM).build().send()
            body = bytes(await response.bytes())
            return body if is_success(response.status, body) else None
        except (PyreqwestError, ValueError, TypeError):
            return None


app = App()
