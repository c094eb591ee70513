import pytest

from hedgerow.server.body_memory import BodyMemory
from hedgerow.server.request_body import MAX_FRAMING, RequestBody
from hedgerow.server.request_rejected import RequestRejected


def body(limit: int = 10, length: int = -1, memory: int = 1_000, overhead_bytes: int = 100) -> RequestBody:
    return RequestBody(limit, length, BodyMemory(memory), overhead_bytes)


def test_a_body_is_what_came_of_it() -> None:
    one = body()
    one.add(b"ab")
    one.add(b"c")
    assert (one.whole(), one.size) == (b"abc", 3)


def test_a_body_that_is_announced_as_too_long_is_not_read() -> None:
    body(length=10)
    with pytest.raises(RequestRejected) as caught:
        body(length=11)
    assert (caught.value.code, caught.value.status) == ("too_large", 413)


def test_a_body_may_have_its_limit_and_no_more() -> None:
    one = body()
    one.add(b"x" * 10)
    with pytest.raises(RequestRejected) as caught:
        one.add(b"x")
    assert caught.value.status == 413


def test_bodies_of_all_clients_have_a_bound() -> None:
    memory = BodyMemory(5)
    first, second = RequestBody(10, -1, memory, 100), RequestBody(10, -1, memory, 100)
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
