"""The process of a worker, started by the supervisor: its signals, its channel, its start and its end.

A worker whose channel closes has lost its supervisor and ends on its own.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable

import msgspec

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.eventloop.poller import READABLE
from hedgerow.processes.accept_balancer import AcceptBalancer, ConnectionCounts
from hedgerow.processes.control_channel import ControlEndpoint, Exiting, Ready, WorkerConfig
from hedgerow.processes.process_tuning import (
    configure_gc,
    preallocate_descriptor_table,
    raise_descriptor_limit,
)
from hedgerow.processes.worker import Worker


class _Signals(EventHandler):
    """Calls a function on the event loop at SIGTERM and SIGINT (`signal.set_wakeup_fd`)."""

    def __init__(self, loop: EventLoop, on_signal: Callable[[], None]) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self._on_signal = on_signal
        loop.register(self._receiver.fileno(), self, READABLE)
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _ignore_signal)
        # This one is for the supervisor, also when a process group gets it.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def on_ready(self, _mask: int) -> None:
        self._receiver.recv(4096)
        self._on_signal()

    def abort(self) -> None:
        """Continue: signals must be received after an internal error, too."""


def _ignore_signal(_number: int, _frame: object) -> None:
    """Do nothing: the wake-up descriptor handles the signal."""


def run(
    config: WorkerConfig,
    sock: socket.socket,
    channel: socket.socket,
    counts: ConnectionCounts,
    log_descriptor: int,
) -> None:
    """Serve until a signal, or the supervisor's end; then drain, and end the process."""
    balancer = AcceptBalancer(counts, config.slot)
    worker = Worker(config.settings, config.target, balancer, log_descriptor=log_descriptor)
    loop = worker.loop
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            worker.drain(loop.stop)

    _Signals(loop, stop)
    control = ControlEndpoint(loop, channel, worker.answer, on_closed=stop)
    worker.start(sock)
    worker.logs.catch_all()  # until here what ends the process is for the supervisor to say
    configure_gc()
    control.send(Ready())
    loop.run()
    worker.close()
    control.send(Exiting(worker.snapshot()))
    worker.logs.close()
    sys.stderr.flush()
    os._exit(0)  # a name lookup that hangs holds a thread, and the interpreter's end would wait for it


def main() -> None:
    """Run a worker: `python -m hedgerow.processes.worker_main LISTENING-SOCKET CHANNEL COUNTS LOG`, all descriptors.

    Its configuration is the first line of the channel. Standard error is for the interpreter's last words: the
    supervisor reads it.
    """
    preallocate_descriptor_table(raise_descriptor_limit())
    descriptors = [int(argument) for argument in sys.argv[1:5]]
    for descriptor in descriptors:  # a child process must not inherit the port or the channel
        os.set_inheritable(descriptor, False)
    sock, channel = (socket.socket(fileno=descriptor) for descriptor in descriptors[:2])
    with channel.makefile("rb") as lines:  # nothing else is sent before it is ready
        config = msgspec.json.decode(lines.readline(), type=WorkerConfig)
    run(config, sock, channel, ConnectionCounts(descriptors[2]), descriptors[3])


if __name__ == "__main__":
    main()
