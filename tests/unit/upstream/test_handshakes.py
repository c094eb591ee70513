"""Handshakes in their turn; what they come to is in test_connector.py."""

import ssl
from typing import Any, cast

from hedgerow.upstream.handshakes import HANDSHAKES_PER_ITERATION, Handshakes
from support.fake_network import VirtualLoop

CONTEXT = cast("ssl.SSLContext", object())


class FakeHandshake:
    def __init__(self, started: list[int], number: int, *, fails: bool = False) -> None:
        self._started = started
        self._number = number
        self._fails = fails

    def start(self, context: ssl.SSLContext) -> None:
        assert context is CONTEXT
        self._started.append(self._number)
        if self._fails:
            raise ZeroDivisionError


def test_a_bounded_number_is_started_in_each_iteration_oldest_first() -> None:
    world, started = VirtualLoop(), list[int]()
    queue = Handshakes(world.loop)
    for number in range(HANDSHAKES_PER_ITERATION + 3):
        handshake: Any = FakeHandshake(started, number)
        queue.add(handshake, CONTEXT)
    world.loop.run_once(0)
    assert started == list(range(HANDSHAKES_PER_ITERATION))
    world.loop.run_once(0)
    assert started == list(range(HANDSHAKES_PER_ITERATION + 3))


def test_an_internal_error_on_the_way_of_one_does_not_keep_the_others() -> None:
    """They would wait for good: the queue wakes only when it was empty."""
    world, started = VirtualLoop(), list[int]()
    queue = Handshakes(world.loop)
    for number in range(3):
        handshake: Any = FakeHandshake(started, number, fails=number == 0)
        queue.add(handshake, CONTEXT)
    world.loop.run_once(0)
    world.loop.run_once(0)
    assert started == [0, 1, 2]
    assert world.internal_errors == 1
