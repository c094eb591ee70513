"""Which TLS session a new connection resumes."""

from types import SimpleNamespace
from typing import Any

import pytest

from hedgerow.net.tcp import Address
from hedgerow.net.tls_sessions import MAX_SESSIONS, SESSION_AGE_S, TlsSessions


def address(number: int) -> Address:
    return 2, 1, 6, "", (f"192.0.2.{number}", 443)


def connection(name: str, *, reused: bool = False, resumable: bool = True) -> Any:
    session = SimpleNamespace(name=name, has_ticket=resumable, id=b"")
    return SimpleNamespace(session=session, session_reused=reused)


def name_at(sessions: TlsSessions, number: int, now: float) -> str | None:
    found: Any = sessions.get(address(number), now)
    return None if found is None else str(found.name)


def test_a_session_is_used_until_its_handshake_is_too_old() -> None:
    sessions = TlsSessions()
    sessions.keep(address(1), connection("a"), verified_at=10.0)
    assert name_at(sessions, 1, 10.0 + SESSION_AGE_S) == "a"
    assert name_at(sessions, 2, 10.0) is None
    assert name_at(sessions, 1, 10.1 + SESSION_AGE_S) is None
    assert name_at(sessions, 1, 10.0) is None, "it was discarded"


@pytest.mark.parametrize("kind", [{"reused": True}, {"resumable": False}])
def test_what_verified_no_certificate_or_cannot_be_resumed_is_not_kept(kind: dict[str, bool]) -> None:
    sessions = TlsSessions()
    sessions.keep(address(1), connection("a", **kind), verified_at=0.0)
    assert name_at(sessions, 1, 0.0) is None


def test_the_first_session_is_kept_and_a_discarded_one_replaced() -> None:
    sessions = TlsSessions()
    sessions.keep(address(1), connection("a"), verified_at=0.0)
    sessions.keep(address(1), connection("b"), verified_at=1.0)
    assert name_at(sessions, 1, 1.0) == "a"
    sessions.discard(address(1))
    sessions.keep(address(1), connection("b"), verified_at=1.0)
    assert name_at(sessions, 1, 1.0) == "b"


def test_their_number_is_bounded() -> None:
    sessions = TlsSessions()
    for number in range(MAX_SESSIONS + 1):
        sessions.keep(address(number), connection("a"), verified_at=0.0)
    assert sum(name_at(sessions, number, 0.0) is not None for number in range(MAX_SESSIONS + 1)) == 1
