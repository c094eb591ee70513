"""Which TLS session a new connection to an endpoint resumes."""

from types import SimpleNamespace
from typing import Any

import pytest

from hedgerow.net.tls_sessions import SESSION_AGE_S, TlsSession


def connection(name: str, *, reused: bool = False, resumable: bool = True) -> Any:
    session = SimpleNamespace(name=name, has_ticket=resumable, id=b"")
    return SimpleNamespace(session=session, session_reused=reused)


def name_at(session: TlsSession, now: float) -> str | None:
    found: Any = session.get(now)
    return None if found is None else str(found.name)


def test_a_session_is_used_until_its_handshake_is_too_old() -> None:
    session = TlsSession()
    assert name_at(session, 10.0) is None
    session.keep(connection("a"), verified_at=10.0)
    assert name_at(session, 10.0 + SESSION_AGE_S) == "a"
    assert name_at(session, 10.1 + SESSION_AGE_S) is None
    assert name_at(session, 10.0) is None, "it was discarded"


@pytest.mark.parametrize("kind", [{"reused": True}, {"resumable": False}])
def test_what_verified_no_certificate_or_cannot_be_resumed_is_not_kept(kind: dict[str, bool]) -> None:
    session = TlsSession()
    session.keep(connection("a", **kind), verified_at=0.0)
    assert name_at(session, 0.0) is None


def test_the_first_session_is_kept_and_a_discarded_one_replaced() -> None:
    session = TlsSession()
    session.keep(connection("a"), verified_at=0.0)
    session.keep(connection("b"), verified_at=1.0)
    assert name_at(session, 1.0) == "a"
    session.discard()
    session.keep(connection("b"), verified_at=1.0)
    assert name_at(session, 1.0) == "b"
