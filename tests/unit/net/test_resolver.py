"""Name lookup in threads. `getaddrinfo` is the test's; each lookup waits in it until the test lets it go."""

import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.eventloop.loop import EventLoop
from hedgerow.net import resolver as resolver_module
from hedgerow.net.resolver import LOOKUP_TIMEOUT_S, MAX_ADDRESSES, MAX_THREADS, Resolver, numeric_addresses
from hedgerow.net.tcp import Address
from support.fake_network import Clock

TCP = socket.SOCK_STREAM
ENTRY = (socket.AF_INET, TCP, 6, "canonical", ("127.0.0.1", 80))
PLAIN: Address = (2, 1, 6, "", ("127.0.0.1", 80))


class Names:
    """Stands for `getaddrinfo`."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.release.set()
        self.answer: Callable[[], Sequence[Any]] = lambda: [ENTRY]
        self.threads: list[threading.Thread] = []

    def __call__(self, host: str, port: int, **options: int) -> Sequence[Any]:
        assert (host, port, options) == ("upstream.test", 80, {"type": TCP})
        self.threads.append(threading.current_thread())
        self.release.wait()
        return self.answer()


class Bench:
    def __init__(self) -> None:
        self.names = Names()
        self.internal_errors = 0
        self.loop = EventLoop(time.monotonic, on_internal_error=self.on_internal_error)
        self.resolver = Resolver(self.loop, self.names)
        self.results: list[Sequence[Address] | Failure] = []

    def on_internal_error(self) -> None:
        self.internal_errors += 1
        if self.internal_errors > 1:
            traceback.print_exc()

    def look_up(self) -> resolver_module.Lookup:
        before = len(self.results)
        lookup = self.resolver.look_up("upstream.test", 80, self.results.append)
        assert len(self.results) == before
        return lookup

    def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self.loop.run_once(1.0)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.names.release.set()
    bench.resolver.close()
    bench.loop.close()
    for thread in bench.names.threads:
        thread.join()


def failure(text: str) -> Failure:
    return Failure(FailureReason.CONNECT, f"name lookup: {text}")


def test_u04_a_lookup_gives_plain_addresses(bench: Bench) -> None:
    bench.names.answer = lambda: [ENTRY, ENTRY, (socket.AF_INET6, TCP, 6, "", ("::1", 80, 0, 0))]
    bench.look_up()
    bench.until(lambda: bool(bench.results))
    assert bench.results == [(PLAIN, (10, 1, 6, "", ("::1", 80, 0, 0)))]
    assert {type(part) for part in bench.results[0][0][:3]} == {int}  # type: ignore[index]
    assert bench.resolver.threads == 0


def test_u04_the_loop_goes_on_while_a_lookup_hangs(bench: Bench) -> None:
    bench.names.release.clear()
    bench.look_up()
    for _ in range(5):
        bench.loop.run_once(0.0)
    assert bench.results == []
    assert bench.resolver.threads == 1
    bench.names.release.set()
    bench.until(lambda: bool(bench.results))
    assert bench.results == [(PLAIN,)]


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (OSError(24, "x"), "Too many open files"),
        (UnicodeError("label too long"), "UnicodeError('label too long')"),
        (MemoryError(), "MemoryError()"),
        (SystemExit(3), "SystemExit(3)"),
    ],
)
def test_u04_a_lookup_that_raises_whatever_is_a_failure_with_a_reason(
    bench: Bench, problem: BaseException, text: str
) -> None:
    def answer() -> Sequence[Any]:
        raise problem

    bench.names.answer = answer
    bench.look_up()
    bench.until(lambda: bool(bench.results))
    assert bench.results == [failure(text)]
    bench.names.answer = lambda: [ENTRY]
    bench.look_up()
    bench.until(lambda: len(bench.results) == 2)
    assert bench.results[1] == (PLAIN,)


def test_u04_a_name_without_an_address_is_a_failure(bench: Bench) -> None:
    bench.names.answer = list
    bench.look_up()
    bench.until(lambda: bool(bench.results))
    assert bench.results == [failure("no address")]


def test_a_name_with_thousands_of_addresses_is_cut(bench: Bench) -> None:
    bench.names.answer = lambda: [(2, 1, 6, "", (f"10.0.{n // 256}.{n % 256}", 80)) for n in range(3_000)]
    bench.look_up()
    bench.until(lambda: bool(bench.results))
    assert len(bench.results[0]) == MAX_ADDRESSES  # type: ignore[arg-type]


def test_u04_a_thread_that_cannot_be_started_is_a_failed_lookup(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", NoThread)
        bench.look_up()
    bench.until(lambda: bool(bench.results))
    assert bench.results == [failure("can't start new thread")]
    bench.look_up()
    bench.until(lambda: len(bench.results) == 2)
    assert bench.results[1] == (PLAIN,)


def test_d4_lookups_that_hang_cost_a_bounded_number_of_threads_and_others_wait(bench: Bench) -> None:
    bench.names.release.clear()
    for _ in range(MAX_THREADS):
        bench.look_up().cancel()
    waiting = [bench.look_up() for _ in range(2 * MAX_THREADS + 1)]
    waiting[0].cancel()
    bench.loop.run_once(0.0)
    assert (bench.results, bench.resolver.threads) == ([], MAX_THREADS)
    bench.names.release.set()
    bench.until(lambda: len(bench.results) == 2 * MAX_THREADS)
    assert bench.results == [(PLAIN,)] * 2 * MAX_THREADS
    bench.until(lambda: bench.resolver.threads == 0)
    assert len(bench.names.threads) == 3 * MAX_THREADS, "none for one that was cancelled"


def test_d4_lookups_that_have_timed_out_wait_for_no_thread(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(bench.loop, "clock", clock)
    bench.names.release.clear()
    for _ in range(MAX_THREADS):
        bench.look_up().cancel()
    for number in range(1, 4):
        bench.look_up()
        clock.now += LOOKUP_TIMEOUT_S + 0.002
        bench.loop.run_once(0.0)
        assert bench.results == [failure("no answer within 30 s")] * number
        assert len(bench.resolver._queue) == 1
    bench.names.release.set()
    bench.until(lambda: bench.resolver.threads == 0)
    assert len(bench.names.threads) == MAX_THREADS


def test_d4_a_lookup_that_hangs_has_failed_after_its_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(bench.loop, "clock", clock)
    bench.names.release.clear()
    bench.look_up()
    clock.now += LOOKUP_TIMEOUT_S - 0.001
    bench.loop.run_once(0.0)
    assert bench.results == []
    clock.now += 0.002
    bench.loop.run_once(0.0)
    assert bench.results == [failure("no answer within 30 s")]
    bench.names.release.set()
    bench.until(lambda: bench.resolver.threads == 0)
    assert len(bench.results) == 1, "what it says later is not heard"


def test_a_cancelled_lookup_reports_nothing_and_leaves_no_deadline(bench: Bench) -> None:
    bench.look_up().cancel()
    bench.until(lambda: bench.resolver.threads == 0)
    assert bench.results == []
    assert len(bench.loop.deadlines) == 0


def test_two_lookups_that_end_at_once_are_both_reported_even_if_one_result_is_not_wanted(
    bench: Bench,
) -> None:
    """An exception of one owner is its own."""
    bench.names.release.clear()

    def fail(_: object) -> None:
        raise RuntimeError

    bench.resolver.look_up("upstream.test", 80, fail)
    bench.look_up()
    bench.names.release.set()
    while len(bench.resolver._finished) < 2:
        time.sleep(0)
    bench.until(lambda: bool(bench.results))
    assert bench.results == [(PLAIN,)]
    assert bench.internal_errors == 1
    assert bench.resolver.threads == 0


def test_a_thread_that_ends_after_the_resolver_was_closed_writes_nothing(bench: Bench) -> None:
    """Its eventfd has gone, and the number may be a client's."""
    bench.names.release.clear()
    bench.look_up()
    bench.until(lambda: bool(bench.names.threads))
    number = bench.resolver._wakeup_fd
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bench.resolver.close()
        os.dup2(ours.fileno(), number)
        try:
            bench.names.release.set()
            bench.names.threads[0].join()
            theirs.setblocking(False)
            with pytest.raises(BlockingIOError):
                theirs.recv(8)
        finally:
            os.close(number)


def test_the_end_of_the_process_does_not_wait_for_a_lookup() -> None:
    program = """
import threading, time
from hedgerow.eventloop.loop import EventLoop
from hedgerow.net.resolver import Resolver
asked = threading.Event()
def hang(*_, **__):
    asked.set()
    threading.Event().wait()
loop = EventLoop(time.monotonic, on_internal_error=print)
Resolver(loop, hang).look_up("x", 80, print)
asked.wait()
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# -- literals


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", ((2, 1, 6, "", ("127.0.0.1", 80)),)),
        ("::1", ((10, 1, 6, "", ("::1", 80, 0, 0)),)),
        ("localhost", ()),
        ("upstream.test", ()),
    ],
)
def test_u04_a_literal_needs_no_lookup(host: str, expected: Sequence[Address]) -> None:
    assert numeric_addresses(host, 80) == expected
