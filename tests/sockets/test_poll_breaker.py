"""The poll breaker on uvloop and real sockets: what waits for the end of a turn does not wait for 48 polls."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from hedgerow.poll_breaker import PollBreaker
from hedgerow.worker import raise_descriptor_limit

BATCH = 1024
"""Events that libuv takes from the kernel by one poll."""
POLLS = 48
"""Polls in one turn while each gives a whole batch."""


async def events_before_the_turn_ends(breaker: PollBreaker | None) -> int:
    """Have more sockets ready than fit in a batch, all the time; tell how many events come before a callback runs."""
    loop = asyncio.get_running_loop()
    seen = 0
    ended: asyncio.Future[int] = loop.create_future()

    def readable() -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            loop.call_soon(lambda: ended.set_result(seen))
            if breaker is not None:
                breaker.end_turn_soon()

    with ExitStack() as stack:
        ours = []
        for _ in range(BATCH + 10):
            one, other = (stack.enter_context(sock) for sock in socket.socketpair())
            other.send(b"x")  # nobody reads it
            one.setblocking(False)
            ours.append(one)
        for one in ours:
            loop.add_reader(one, readable)
        count = await ended
        for one in ours:
            loop.remove_reader(one)
    return count


@pytest.fixture(autouse=True)
def descriptors() -> None:
    raise_descriptor_limit()


async def test_libuv_polls_on_and_on() -> None:
    """If this fails, libuv has learnt to end its turns, and the breaker can go."""
    assert await events_before_the_turn_ends(None) >= (POLLS - 1) * BATCH


@pytest.fixture
async def breaker() -> AsyncIterator[PollBreaker]:
    breaker = await PollBreaker.start()
    yield breaker
    await breaker.close()


async def test_a_turn_ends_once_each_ready_socket_has_been_looked_at(breaker: PollBreaker) -> None:
    """The signal waits in the kernel's list behind those that were ready before it, and its batch is finished."""
    assert await events_before_the_turn_ends(breaker) <= BATCH + 10 + 2 * BATCH


async def test_a_child_that_was_killed_is_no_harm(breaker: PollBreaker) -> None:
    breaker._child.kill()
    await breaker._child.wait()
    breaker.end_turn_soon()


async def test_the_child_is_out_of_reach_of_the_terminal_and_ends_with_us(breaker: PollBreaker) -> None:
    child = breaker._child
    assert os.getsid(child.pid) != os.getsid(0)
    await breaker.close()
    assert child.returncode == 0
