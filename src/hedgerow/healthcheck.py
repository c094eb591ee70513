"""The probe of `hedgerow healthcheck`."""

import http.client
from http import HTTPStatus
from typing import Final

TIMEOUT_S: Final = 2.0
"""The admin port answers in milliseconds; container engines give up on a check after a few seconds."""

MAX_BODY_BYTES: Final = 4096
"""Of a response that is shown; the gateway's have less than 100."""

_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (nothing binds here)


def probe(host: str, port: int, path: str) -> tuple[bool, str]:
    """Return whether the admin port answers a GET of `path` with 200, and its body or the error.

    Blocks for at most `TIMEOUT_S` for each step of the exchange.
    """
    host = _LOOPBACK.get(host, host)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status == HTTPStatus.OK, answer.read(MAX_BODY_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer from {host}:{port} ({error})"
    finally:
        connection.close()
