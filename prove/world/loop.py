"""An event loop whose time and sockets are simulated. One turn goes as in libuv: timers, callbacks, writes, poll.

The gateway pays for what it does: each callback and each look at the clock takes a little time, and a stall takes
much, wherever it strikes. The world outside goes on meanwhile (`network.py`).
"""

import asyncio
from asyncio import AbstractEventLoop, Handle, TimerHandle, events
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context
from errno import EINPROGRESS
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from random import Random
from socket import AF_INET, IPPROTO_TCP, SO_ERROR, SOCK_STREAM, SOL_SOCKET
from typing import Any, cast

from prove.world.ends import SimulatedSocket
from prove.world.network import Network
from prove.world.transport import SimulatedTransport

CALLBACK_S = 20e-6
CLOCK_S = 1e-6
"""What a callback, and a look at the clock, take of the gateway's time."""
MOST_TURNS = 200_000
"""A world that turns so often does not come to an end. Usual ones take a few hundred."""


class Endless(Exception):  # noqa: N818 (what a broken gateway does)
    """The loop never comes to rest."""


class NumberedFuture(asyncio.Future[Any]):
    """A future whose place in a set is no matter of its address in memory: the same seed shall play the same."""

    def __init__(self, loop: "SimulatedLoop") -> None:
        super().__init__(loop=loop.as_loop())
        self._number = loop.next_number()

    def __hash__(self) -> int:
        return self._number


class NumberedTask(asyncio.Task[Any]):
    """The same of a task."""

    def __init__(self, loop: "SimulatedLoop", coro: Coroutine[Any, Any, Any], **more: Any) -> None:
        self._number = loop.next_number()
        super().__init__(coro, loop=loop.as_loop(), **more)

    def __hash__(self) -> int:
        return self._number


class SimulatedLoop:
    """Runs callbacks in simulated time. `stalls` are instants and lengths, in seconds."""

    def __init__(
        self, network: Network, chance: Random, stalls: Iterable[tuple[float, float]], lookups: Iterable[str]
    ) -> None:
        self.network = network
        self.errors: list[str] = []
        """What was raised into the loop."""
        self.stalled: list[tuple[float, float]] = []
        """From when to when it stood still."""
        self._chance = chance
        self._to_stall = sorted(stalls, reverse=True)
        self._stall_at = self._to_stall[-1][0] if self._to_stall else inf
        self._lookups = iter(lookups)
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[int, float, int, TimerHandle]] = []
        self._timer_number = 0
        self._to_write: dict[SimulatedTransport, None] = {}
        self._turns = 0
        self.next_number = count().__next__
        network.waits = self.wakes

    def as_loop(self) -> AbstractEventLoop:
        """It has of it what a worker uses."""
        return cast("AbstractEventLoop", self)

    # -- time

    def clock(self) -> float:
        """Tell the time, which goes on; a stall may strike here, in the middle of a callback."""
        self._spend(CLOCK_S)
        return self.network.now

    def time(self) -> float:
        return self.clock()

    def _spend(self, seconds: float) -> None:
        network = self.network
        network.now += seconds
        if network.now >= self._stall_at:
            _, length_s = self._to_stall.pop()
            self.stalled.append((network.now, network.now + length_s))
            network.now += length_s
            self._stall_at = self._to_stall[-1][0] if self._to_stall else inf

    @property
    def will_stall(self) -> bool:
        """Some of the stalls are yet to come."""
        return self._stall_at < inf

    # -- callbacks and timers

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, self.as_loop(), context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """As in uvloop: whole milliseconds, to the nearest, from a time that is cut to milliseconds."""
        now = self.network.now
        due_ms = int(now * 1000) + max(round(delay * 1000), 0)
        timer = TimerHandle(now + delay, callback, args, self.as_loop(), context)
        self._timer_number += 1
        heappush(self._timers, (due_ms, self._chance.random(), self._timer_number, timer))
        timer._scheduled = True  # type: ignore[attr-defined]  # noqa: SLF001 (what asyncio's own loops do)
        return timer

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        return self.call_later(when - self.network.now, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        """Forget it at once, so that it holds nothing (libuv's timers do not, either)."""
        self._timers = [timer for timer in self._timers if timer[3] is not handle]
        heapify(self._timers)

    @property
    def timers(self) -> list[str]:
        """What is to be called later."""
        return [getattr(timer[3]._callback, "__qualname__", "?") for timer in self._timers]  # type: ignore[attr-defined]  # noqa: SLF001

    def create_future(self) -> asyncio.Future[Any]:
        return NumberedFuture(self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **more: Any) -> asyncio.Task[Any]:
        return NumberedTask(self, coro, **more)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    # -- turning

    @contextmanager
    def running(self) -> Iterator[None]:
        """Be the running loop."""
        events._set_running_loop(self.as_loop())  # noqa: SLF001 (the way in for loops of one's own)
        try:
            yield
        finally:
            events._set_running_loop(None)  # noqa: SLF001

    def turn_until(self, at: float) -> None:
        """Turn until the instant `at`."""
        while self.network.now < at:
            self._turn(at)

    def run_until_complete(self, future: Coroutine[Any, Any, Any]) -> None:
        """Turn until the coroutine is done; raises what it raises."""
        task = self.create_task(future)
        task.add_done_callback(lambda _: None)  # a callback that is ready keeps the turn from waiting
        while not task.done():
            self._turn(inf)
        task.result()

    def settle(self) -> None:
        """Run the callbacks that are ready, and what they call soon."""
        while self._ready or self._to_write:
            self._turn(self.network.now)

    def _turn(self, until: float) -> None:
        self._turns += 1
        if self._turns > MOST_TURNS:
            raise Endless
        network = self.network
        now_ms = int(network.now * 1000)
        due: deque[Handle] = deque()
        while self._timers and self._timers[0][0] <= now_ms:
            due.append(heappop(self._timers)[3])
        while due:
            self._run(due.popleft())
        for _ in range(len(self._ready)):
            self._run(self._ready.popleft())
        while self._to_write:
            self._to_write.popitem()[0].flush()
        self._poll(until)

    def _run(self, handle: Handle) -> None:
        if not handle.cancelled():
            self._spend(CALLBACK_S)
            handle._run()  # noqa: SLF001
        del handle  # an exception knows this frame, and would hold itself by it

    def _poll(self, until: float) -> None:
        network = self.network
        if not self._ready:
            if self._timers:
                until = min(until, self._timers[0][0] / 1000 + 1e-9)  # so that it is not a hair before it
            if not network.wait(until):
                raise Endless
        network.catch_up()
        ready = network.take_ready()
        if len(ready) > 1:
            self._chance.shuffle(ready)  # the kernel promises no order
        while ready:
            self._spend(CALLBACK_S)
            network.catch_up()
            ready.pop()()

    # -- sockets

    def wakes(self, sock: SimulatedSocket) -> Callable[[], None] | None:
        """Tell what is to be called for a socket that may be ready; None if nobody waits for what it has."""
        if sock.reader is not None and sock.readable:
            return sock.reader
        if sock.writer is not None and sock.writable:
            return sock.writer
        return None

    def queue_write(self, transport: SimulatedTransport) -> None:
        """Have it write at the end of this turn, as uvloop does."""
        self._to_write[transport] = None

    def add_reader(self, fd: Any, callback: Callable[..., object], *args: Any) -> None:
        fd.reader = Handle(callback, args, self.as_loop())._run  # noqa: SLF001
        self.network.touched(fd)

    def remove_reader(self, fd: Any) -> bool:
        had, fd.reader = fd.reader, None
        return had is not None

    def add_writer(self, fd: Any, callback: Callable[..., object], *args: Any) -> None:
        fd.writer = Handle(callback, args, self.as_loop())._run  # noqa: SLF001
        self.network.touched(fd)

    def remove_writer(self, fd: Any) -> bool:
        had, fd.writer = fd.writer, None
        return had is not None

    async def sock_connect(self, sock: Any, address: Any) -> None:
        error = sock.connect_ex(address)
        if error == EINPROGRESS:
            connected = self.create_future()
            self.add_writer(sock, lambda: None if connected.done() else connected.set_result(None))
            try:
                await connected
            finally:
                self.remove_writer(sock)
            error = sock.getsockopt(SOL_SOCKET, SO_ERROR)
        if error:
            raise OSError(error, "connecting failed")

    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> Any:  # noqa: ARG002 (asyncio's)
        """Do as the next of `lookups` says: a time in seconds, then `one`, `two` or `none`."""
        waits_s, how = next(self._lookups).split(" ")
        await asyncio.sleep(float(waits_s))
        if how == "none":
            raise OSError(-2, "Name or service not known")
        return [
            (AF_INET, SOCK_STREAM, IPPROTO_TCP, "", (f"192.0.2.{n}", port))
            for n in range(1, 2 + (how == "two"))
        ]

    async def create_connection(
        self, protocol_factory: Callable[[], Any], *, sock: Any = None, **_: Any
    ) -> Any:
        return await self._adopt(protocol_factory(), sock)

    async def connect_accepted_socket(self, protocol_factory: Callable[[], Any], sock: Any, **_: Any) -> Any:
        return await self._adopt(protocol_factory(), sock)

    async def _adopt(self, protocol: Any, sock: SimulatedSocket) -> tuple[SimulatedTransport, Any]:
        waiter: asyncio.Future[None] = self.create_future()
        transport = SimulatedTransport(self, sock, protocol, waiter)
        try:
            await waiter
        except BaseException:
            transport.drop()
            raise
        return transport, protocol
