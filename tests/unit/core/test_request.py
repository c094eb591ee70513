"""Requests and their ids."""

from hedgerow.core.request import Request, RequestIdGenerator


def test_what_a_request_begins_with() -> None:
    request = Request(b"GET", b"/", b"", request_id=b"id", arrived_at=8.0)
    assert (request.keep_alive, request.announce_keep_alive, request.trace) == (True, False, None)
    assert (request.timeout_ms, request.started_at, request.deadline_at) == (0, 0.0, 0.0)
    assert request.tried is None
    old = Request(b"GET", b"/", b"", request_id=b"id", arrived_at=8.0, announce_keep_alive=True)
    assert old.announce_keep_alive


def test_ids_are_numbered_behind_what_is_a_workers_own() -> None:
    ids, others = RequestIdGenerator(), RequestIdGenerator()
    first, second = ids.next(), ids.next()
    assert (first[-2:], second[-2:]) == (b"-1", b"-2")
    assert first[:-2] == second[:-2] != others.next()[:-2]
    assert len(first[:-2]) == 12
