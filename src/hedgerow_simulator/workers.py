"""The server as processes: the first worker is the process that was started, the others are its children.

Children must never outlive it, not even after a kill -9. Each reads from a pipe (the lifeline) whose other
end only the first worker holds: whatever ends that process closes the pipe, and the children end with it.
"""

import asyncio
import contextlib
import multiprocessing
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess

import uvloop

from hedgerow_simulator.behaviour import Behaviour
from hedgerow_simulator.capacity import Capacity
from hedgerow_simulator.limits import WORKER_STOP_S
from hedgerow_simulator.listen import work_url
from hedgerow_simulator.simulator import serving
from hedgerow_simulator.stats import SharedCounters, StatsCounter
from hedgerow_simulator.upstream import Upstream

_READ_BYTES = 4_096
_STDIN = 0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(
    behaviour: Behaviour,
    listeners: list[socket.socket],
    *,
    log: bool,
    until_stdin_closes: bool,
    announce: Callable[[str], None],
    capacity: Capacity,
) -> bool:
    """Serve on each socket with a process of its own, until SIGTERM or SIGINT.

    With `until_stdin_closes`, the end of stdin ends it too. `announce` is called once, with the URL, when
    all of them are ready. Returns whether that was a clean stop: not if one of the children has ended by
    itself. `capacity` is that of the first worker; a limited one is for one worker alone.
    """
    _raise_file_limit()
    rows = SharedCounters(len(listeners))
    children, lifeline = _start_children(behaviour, listeners, rows)
    upstream = Upstream(behaviour, StatsCounter(rows, 0), log=log)
    try:
        return uvloop.run(
            _first_worker(
                upstream,
                listeners[0],
                children,
                capacity=capacity,
                until_stdin_closes=until_stdin_closes,
                ready=lambda: announce(work_url(listeners[0])),
            )
        )
    finally:
        os.close(lifeline)
        for child in children:
            child.join(WORKER_STOP_S)
            child.kill()
            child.join()
            child.close()


def _start_children(
    behaviour: Behaviour, listeners: list[socket.socket], rows: SharedCounters
) -> tuple[list[BaseProcess], int]:
    """Fork a child for each socket but the first; give them, and the end of the lifeline to close.

    The children are born with the signals to stop blocked, and leave them so. A terminal, or systemd, sends
    these to every process; if the children heeded them, the first worker might see one end before its own
    signal arrives, and take a clean stop for a loss.
    """
    fork = multiprocessing.get_context("fork")
    reading, writing = os.pipe()
    children: list[BaseProcess] = []
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    for index in range(1, len(listeners)):
        child = fork.Process(target=_child, args=(behaviour, listeners, rows, index, (reading, writing)))
        child.start()
        children.append(child)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    for listener in listeners[1:]:
        listener.close()  # else the kernel would go on giving it connections after its worker died
    os.close(reading)
    return children, writing


async def _first_worker(
    upstream: Upstream,
    listener: socket.socket,
    children: list[BaseProcess],
    *,
    capacity: Capacity,
    until_stdin_closes: bool,
    ready: Callable[[], None],
) -> bool:
    loop = asyncio.get_running_loop()
    stopped_cleanly: asyncio.Future[bool] = loop.create_future()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, _settle, stopped_cleanly, True)
    if until_stdin_closes:
        _call_at_end_of(_STDIN, loop, partial(_settle, stopped_cleanly, True))
    for child in children:
        loop.add_reader(child.sentinel, _settle, stopped_cleanly, False)
    async with serving(upstream, listener, capacity):
        ready()
        clean = await stopped_cleanly
    for child in children:
        loop.remove_reader(child.sentinel)
    return clean


def _child(
    behaviour: Behaviour,
    listeners: list[socket.socket],
    rows: SharedCounters,
    index: int,
    lifeline: tuple[int, int],
) -> None:
    reading, writing = lifeline
    os.close(writing)
    for listener in listeners:
        if listener is not listeners[index]:
            listener.close()
    upstream = Upstream(behaviour, StatsCounter(rows, index), index=index)
    uvloop.run(_other_worker(upstream, listeners[index], reading))


async def _other_worker(upstream: Upstream, listener: socket.socket, lifeline: int) -> None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[bool] = loop.create_future()
    _call_at_end_of(lifeline, loop, partial(_settle, ended, True))
    async with serving(upstream, listener, Capacity()):
        await ended


def _settle(future: "asyncio.Future[bool]", result: bool) -> None:
    """Set the result unless an earlier event has done so: the first one counts."""
    if not future.done():
        future.set_result(result)


def _call_at_end_of(descriptor: int, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Call back in the loop once reading from the descriptor is over.

    A thread reads, and the loop does not: epoll refuses files and /dev/null, and a loop would make a
    terminal, which is shared with the shell, non-blocking. It is a daemon, since nothing can wake it from
    its read.
    """

    def read_to_end() -> None:
        with contextlib.suppress(OSError):  # a descriptor that cannot be read is at its end
            while os.read(descriptor, _READ_BYTES):
                pass
        with contextlib.suppress(RuntimeError):  # the loop has ended before
            loop.call_soon_threadsafe(callback)

    threading.Thread(target=read_to_end, name=f"end-of-{descriptor}", daemon=True).start()


def _raise_file_limit() -> None:
    """Raise the soft limit: each connection is an open file, and a benchmark opens far more than the usual 1 024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
