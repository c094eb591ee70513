"""Name lookup beside the event loop: `getaddrinfo` blocks, so each lookup has a thread, and an eventfd wakes the loop.

The event loop never waits for a thread, and the end of the process does not either (they are daemons).
"""

import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.eventloop.poller import READABLE
from hedgerow.net.tcp import Address
from hedgerow.net.tls import error_text

LOOKUP_TIMEOUT_S: Final = 30.0
"""A lookup without an answer has failed then; glibc itself gives up after 5 s, twice, on each of three servers."""
MAX_THREADS: Final = 4
"""Threads of lookups, also of those that have timed out and hang: some 100 KiB each. Further lookups wait for one."""
MAX_ADDRESSES: Final = 64
"""Addresses used of one name: a DNS answer over TCP may have thousands."""

GetAddrInfo = Callable[..., Sequence[Any]]
"""`socket.getaddrinfo`, or its replacement in a test."""
OnResult = Callable[[Sequence[Address] | Failure], None]


class Lookup(EventHandler):
    """One lookup. It reports once, to `on_result`, unless it is cancelled; its thread may end later or never."""

    __slots__ = ("_loop", "_on_result", "_tick", "host", "port", "result")

    def __init__(self, loop: EventLoop, host: str, port: int, on_result: OnResult) -> None:
        self.host = host
        self.port = port
        self.result: Sequence[Address] | Failure | None = None
        self._loop = loop
        self._on_result: OnResult | None = on_result
        self._tick = loop.call_at(loop.clock() + LOOKUP_TIMEOUT_S, self)

    @property
    def is_wanted(self) -> bool:
        """Return whether it has neither reported nor been cancelled."""
        return self._on_result is not None

    def cancel(self) -> None:
        """Do not report. The thread cannot be stopped; it counts until `getaddrinfo` returns."""
        self._on_result = None
        self._loop.cancel(self._tick, self)

    def on_deadline(self) -> None:
        """Report the timeout of a lookup."""
        self.report(Failure(FailureReason.CONNECT, f"name lookup: no answer within {LOOKUP_TIMEOUT_S:g} s"))

    def resume(self) -> None:
        """Report that no thread could be started."""
        if self.result is not None:
            self.report(self.result)

    def report(self, result: Sequence[Address] | Failure) -> None:
        """Give the result to `on_result`, if it still waits for one."""
        on_result = self._on_result
        if on_result is not None:
            self.cancel()
            on_result(result)


class Resolver(EventHandler):
    """Looks names up, each in a thread of its own."""

    def __init__(self, loop: EventLoop, getaddrinfo: GetAddrInfo = socket.getaddrinfo) -> None:
        self.threads = 0
        """Threads whose `getaddrinfo` has not returned."""
        self._loop = loop
        self._getaddrinfo = getaddrinfo
        self._finished: deque[Lookup] = deque()
        self._queue: deque[Lookup] = deque()
        """Lookups that wait for a thread: at most one for each name, for a name waits for its lookup."""
        self._lock = threading.Lock()
        """Held to write to the eventfd and to close it: a late thread must not write to another's descriptor."""
        self._closed = False
        self._wakeup_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        loop.register(self._wakeup_fd, self, READABLE)

    def look_up(self, host: str, port: int, on_result: OnResult) -> Lookup:
        """Look a name up; `on_result` is called once, never before this returns, within `LOOKUP_TIMEOUT_S`."""
        lookup = Lookup(self._loop, host, port, on_result)
        if self.threads < MAX_THREADS:
            self._start(lookup)
        else:  # a worker may have hundreds of names, which are all looked up as it starts
            while self._queue and not self._queue[0].is_wanted:
                self._queue.popleft()
            self._queue.append(lookup)
        return lookup

    def _start(self, lookup: Lookup) -> None:
        try:
            threading.Thread(target=self._run, args=(lookup,), name="name lookup", daemon=True).start()
        except (
            RuntimeError,
            MemoryError,
        ) as error:  # RuntimeError: the limit of threads, or of memory, is reached
            lookup.result = _failure(str(error) or "no memory for a thread")
            self._loop.wake(lookup)
        else:
            self.threads += 1

    def _run(self, lookup: Lookup) -> None:
        """Run in the lookup's thread."""
        try:
            entries = self._getaddrinfo(lookup.host, lookup.port, type=socket.SOCK_STREAM)
            lookup.result = to_addresses(entries) or _failure("no address")
        except OSError as error:
            lookup.result = _failure(error_text(error))
        except BaseException as error:  # noqa: BLE001 (a lookup must end, or its thread would count for ever)
            lookup.result = _failure(repr(error))
        self._finished.append(lookup)
        with self._lock:
            if not self._closed:
                os.eventfd_write(self._wakeup_fd, 1)

    def on_ready(self, _mask: int) -> None:
        """Report the lookups that have finished."""
        os.eventfd_read(self._wakeup_fd)
        while self._finished:
            lookup = self._finished.popleft()
            self.threads -= 1
            while self._queue and self.threads < MAX_THREADS:
                waiting = self._queue.popleft()
                if waiting.is_wanted:
                    self._start(waiting)
            if lookup.result is not None:
                lookup.report(lookup.result)

    def abort(self) -> None:
        """Report the other lookups in the next iteration, since an `on_result` has raised."""
        os.eventfd_write(self._wakeup_fd, 1)

    def close(self) -> None:
        """Report no more. Threads that hang are left to themselves."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._loop.unregister(self._wakeup_fd)
            os.close(self._wakeup_fd)


def numeric_addresses(host: str, port: int) -> Sequence[Address]:
    """Return the address of an IP literal, or nothing for a name. Does not block."""
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        return to_addresses(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags))
    except socket.gaierror:
        return ()


def to_addresses(entries: Sequence[Any]) -> Sequence[Address]:
    """Return entries of `getaddrinfo` without enumerations, canonical names and repetitions."""
    plain: dict[Address, None] = {}
    for family, kind, protocol, _, sockaddr in entries:
        plain[int(family), int(kind), int(protocol), "", tuple(sockaddr)] = None
    return tuple(plain)[:MAX_ADDRESSES]


def _failure(text: str) -> Failure:
    return Failure(FailureReason.CONNECT, f"name lookup: {text}")
