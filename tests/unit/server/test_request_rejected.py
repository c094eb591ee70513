import pytest

from hedgerow.server.request_rejected import RequestRejected, not_http


def test_a_rejection_is_counted_under_its_code_unless_it_has_a_reason() -> None:
    plain = RequestRejected("bad_request", "why")
    assert (plain.code, plain.detail, plain.status, plain.headers, plain.reason) == (
        "bad_request",
        "why",
        None,
        b"",
        "bad_request",
    )
    assert RequestRejected("overloaded", "why", reason="connections").reason == "connections"


@pytest.mark.parametrize(
    ("error", "status"),
    [("Invalid HTTP version", 505), ("Pause on PRI/Upgrade", 505), ("Invalid method encountered", None)],
)
def test_c4_versions_have_a_status_of_their_own(error: str, status: int | None) -> None:
    assert not_http(error).status == status
