"""TLS sessions to resume (RFC 8446 section 2.2): a handshake without certificates takes a third less CPU.

A resumed handshake does not verify the certificate again, so a session is used for a bounded time after the handshake
that did. Sessions belong to the process and the context of their upstream: a new trust store begins without any.
"""

import ssl
from typing import Final

SESSION_AGE_S: Final = 300.0
"""A connection that resumes a session as old as this is used for `max_connection_age_s` more: for both together, 600 s,
a certificate may be used that has expired or changed."""


class TlsSession:
    """The session of one endpoint: servers may not share their ticket keys. Some 3 KiB."""

    __slots__ = ("_session", "_verified_at")

    def __init__(self) -> None:
        self._session: ssl.SSLSession | None = None
        self._verified_at = 0.0

    def get(self, now: float) -> ssl.SSLSession | None:
        """Return it for a new connection, if there is one and it is new enough."""
        if self._session is not None and now - self._verified_at > SESSION_AGE_S:
            self.discard()
        return self._session

    def keep(self, sock: ssl.SSLSocket, verified_at: float) -> None:
        """Keep the session of a connection whose handshake was at `verified_at`, once the server has sent something.

        Only of a handshake that was not itself resumed: otherwise no certificate would ever be verified again.
        """
        if self._session is not None or sock.session_reused:
            return
        session = sock.session
        if session is not None and (session.has_ticket or session.id):
            self._session = session
            self._verified_at = verified_at

    def discard(self) -> None:
        """Forget the session, which may be why a handshake failed."""
        self._session = None
