import tracemalloc
from math import inf

import pytest

from hedgerow.core.forwarding import ClientMessage
from hedgerow.core.request import Request
from hedgerow.server.body_memory import BodyMemory
from hedgerow.server.request_body import MAX_FRAMING, RequestBody, without_body
from hedgerow.server.request_rejected import RequestRejected
from support.routes import head_of


def post() -> tuple[Request, ClientMessage]:
    message = ClientMessage(head_of())
    return Request(b"POST", b"/", b"", request_id=b"r", arrived_at=1.0, message=message), message


def body(limit: int = 10, memory: int = 1_000, overhead_bytes: int = 100) -> RequestBody:
    return RequestBody(post()[0], limit, BodyMemory(memory), overhead_bytes)


def test_a_body_is_what_came_of_it() -> None:
    request, message = post()
    one = RequestBody(request, 10, BodyMemory(10), 100)
    one.add(b"ab")
    one.add(b"c")
    assert one.finish(7.0, closes=False) is request
    assert (message.body, message.body_bytes, message.body_arrived_at, one.size) == (b"abc", 3, 7.0, 3)
    assert request.keep_alive


def test_a_body_of_many_pieces_takes_the_memory_that_is_counted() -> None:
    """Kept one by one, chunks of two bytes took 22 times as much."""
    (request, message), pieces = post(), 40_000
    one = RequestBody(request, 100_000, BodyMemory(100_000), 100)
    tracemalloc.start()
    try:
        for number in range(pieces):
            one.add(number.to_bytes(2))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert one.size == 2 * pieces
    assert held < 1.5 * one.size
    one.finish(1.0, closes=False)
    assert message.body == b"".join(number.to_bytes(2) for number in range(pieces))


def test_a_body_that_is_given_up_is_late_and_has_nothing_of_what_came() -> None:
    request, message = post()
    one = RequestBody(request, 10, BodyMemory(10), 100)
    one.add(b"ab")
    assert one.give_up() is request
    assert (message.body, message.body_bytes, message.body_arrived_at) == (b"", 0, inf)
    assert not request.keep_alive, "the rest of it would be the next request"


def test_a_body_that_is_not_read_is_marked_as_such() -> None:
    request, message = post()
    assert without_body(request) is request
    assert message.has_refused_body
    assert not request.keep_alive, "it would be the next request"


def test_a_body_that_is_announced_as_too_long_is_not_read() -> None:
    body().announce(10)
    body().announce(-1)
    with pytest.raises(RequestRejected) as caught:
        body().announce(11)
    assert (caught.value.code, caught.value.status) == ("too_large", 413)


def test_a_body_may_have_its_limit_and_no_more() -> None:
    one = body()
    one.add(b"x" * 10)
    with pytest.raises(RequestRejected) as caught:
        one.add(b"x")
    assert caught.value.status == 413


def test_bodies_of_all_clients_have_a_bound() -> None:
    memory = BodyMemory(5)
    first, second = (RequestBody(post()[0], 10, memory, 100) for _ in range(2))
    first.add(b"abc")
    with pytest.raises(RequestRejected) as caught:
        second.add(b"abc")
    assert caught.value.code == "overloaded"
    assert memory.used == 3
    memory.give_back(3)
    second.add(b"abc")


def test_framing_is_no_way_around_the_limit() -> None:
    one = body()
    one.fed(100)
    one.add(b"a")
    one.fed(MAX_FRAMING)
    with pytest.raises(RequestRejected):
        one.fed(1)
