"""How much of the clients is read in an iteration, and how old what they have sent may be."""

from collections.abc import Callable

import pytest

from hedgerow.eventloop.client_sockets import CLIENTS_PER_POLL, CLIENTS_S, POLLS_OF_CLIENTS
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop_monitor import LAGGING_S
from hedgerow.eventloop.poller import READABLE, WRITABLE
from support.fake_network import VirtualLoop

FIRST_FD = 20


class Client(EventHandler):
    """Counts how often it was read."""

    def __init__(self, on_read: Callable[[], object] = lambda: None) -> None:
        self.reads = 0
        self._on_read = on_read

    def on_ready(self, mask: int) -> None:
        self.reads += 1
        self._on_read()


@pytest.fixture
def virtual() -> VirtualLoop:
    return VirtualLoop()


def ready(virtual: VirtualLoop, number: int, on_read: Callable[[], object] = lambda: None) -> list[Client]:
    """Have this many clients send something."""
    clients = [Client(on_read) for _ in range(number)]
    for fd, client in enumerate(clients, start=FIRST_FD):
        virtual.loop.clients.register(fd, client, READABLE)
        virtual.client_poller.event_at(virtual.clock.now, fd, READABLE)
    return clients


def test_the_poller_watches_what_is_registered(virtual: VirtualLoop) -> None:
    clients = virtual.loop.clients
    clients.register(FIRST_FD, Client(), READABLE)
    clients.modify(FIRST_FD, WRITABLE)
    assert virtual.client_poller.registered == {FIRST_FD: WRITABLE}
    clients.unregister(FIRST_FD)
    assert virtual.client_poller.registered == {}


def test_all_that_are_ready_are_read_where_there_is_time(virtual: VirtualLoop) -> None:
    asked_at = virtual.clock.now
    clients = ready(virtual, CLIENTS_PER_POLL + 1)
    virtual.loop.clients.read(asked_at)
    assert [client.reads for client in clients] == [1] * len(clients)
    assert virtual.loop.clients.read_at == asked_at


def test_a_bounded_number_is_read_in_one_iteration(virtual: VirtualLoop) -> None:
    most = CLIENTS_PER_POLL * POLLS_OF_CLIENTS
    clients = ready(virtual, most + 5)
    virtual.loop.clients.read(virtual.clock.now)
    assert sum(client.reads for client in clients) == most
    virtual.loop.clients.read(virtual.clock.now)
    assert sum(client.reads for client in clients) == most + 5


def test_reading_ends_after_its_time(virtual: VirtualLoop) -> None:
    def takes_a_while() -> None:
        virtual.clock.now += CLIENTS_S

    clients = ready(virtual, 2 * CLIENTS_PER_POLL, takes_a_while)
    virtual.loop.clients.read(virtual.clock.now)
    assert sum(client.reads for client in clients) == CLIENTS_PER_POLL


def test_an_event_of_a_client_that_was_unregistered_meanwhile_is_dropped(virtual: VirtualLoop) -> None:
    clients = ready(virtual, 2, lambda: virtual.loop.clients.unregister(FIRST_FD + 1))
    virtual.loop.clients.read(virtual.clock.now)
    assert [client.reads for client in clients] == [1, 0]


def test_what_is_read_after_a_pause_may_be_old_until_the_kernel_says_that_it_is_fresh(
    virtual: VirtualLoop,
) -> None:
    clients = virtual.loop.clients
    clients.read(virtual.clock.now)
    virtual.clock.now += 2 * LAGGING_S
    clients.read(virtual.clock.now)
    after_a_pause = clients.lag
    clients.was_queued(LAGGING_S)
    after_an_old_one = clients.lag
    clients.was_queued(0.0)
    assert (after_a_pause, after_an_old_one, clients.lag) == (True, True, False)
