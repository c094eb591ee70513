"""TLS sessions to resume (RFC 8446 section 2.2): a handshake without certificates takes a third less CPU.

A resumed handshake does not verify the certificate again, so a session is used for a bounded time after the handshake
that did. Sessions belong to the process and its one context: a new trust store begins without any.
"""

import ssl
from typing import Final

from hedgerow.net.tcp import Address

SESSION_AGE_S: Final = 300.0
"""A certificate that has expired or changed is noticed after this at the latest, as connections have a greatest age."""
MAX_SESSIONS: Final = 64
"""One for each address of an upstream (`net.resolver.MAX_ADDRESSES`); some 3 KiB each."""


class TlsSessions:
    """The newest session of each address; addresses are apart because servers may not share their ticket keys."""

    __slots__ = ("_sessions", "_verified_at")

    def __init__(self) -> None:
        self._sessions: dict[Address, ssl.SSLSession] = {}
        self._verified_at: dict[Address, float] = {}

    def get(self, address: Address, now: float) -> ssl.SSLSession | None:
        """Return a session for a new connection, if there is one that is new enough."""
        verified_at = self._verified_at.get(address)
        if verified_at is None:
            return None
        if now - verified_at > SESSION_AGE_S:
            self.discard(address)
            return None
        return self._sessions[address]

    def keep(self, address: Address, sock: ssl.SSLSocket, verified_at: float) -> None:
        """Keep the session of a connection whose handshake was at `verified_at`, once the server has sent something.

        Only of a handshake that was not itself resumed: otherwise no certificate would ever be verified again.
        """
        if address in self._sessions or sock.session_reused:
            return
        session = sock.session
        if session is not None and (session.has_ticket or session.id):
            if len(self._sessions) >= MAX_SESSIONS:  # the name has had many addresses
                self._sessions.clear()
                self._verified_at.clear()
            self._sessions[address] = session
            self._verified_at[address] = verified_at

    def discard(self, address: Address) -> None:
        """Forget the session of an address, which may be why its handshake failed."""
        self._sessions.pop(address, None)
        self._verified_at.pop(address, None)
