"""What `hedgerow healthcheck` asks a running gateway."""

import http.client
from http import HTTPStatus
from typing import Final

TIMEOUT_S: Final = 2.0
"""The admin port answers in milliseconds; container engines give up on a check after a few seconds."""

MAX_ANSWER_BYTES: Final = 4096
"""Of an answer that is shown; ours have less than 100."""

_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (nothing binds here)


def ask(host: str, port: int, path: str) -> tuple[bool, str]:
    """Return whether a gateway's admin port answers 200 to a GET of `path`, and its words, or why it has none.

    Blocks for at most `TIMEOUT_S` for each step of the exchange.
    """
    host = _LOOPBACK.get(host, host)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status == HTTPStatus.OK, answer.read(MAX_ANSWER_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer from {host}:{port} ({error})"
    finally:
        connection.close()
