"""One worker: the main port's front, the gateway, the pool, wired together in one process.

Started by the supervisor as `python -m hedgerow.worker`, with two descriptors: the listening socket and a channel
to the supervisor. A worker whose channel closes has lost its supervisor and ends by itself.
"""

import asyncio
import gc
import os
import resource
import signal
import socket
import sys
from asyncio import AbstractEventLoop
from contextlib import suppress
from fcntl import F_DUPFD, fcntl
from math import isfinite
from time import monotonic
from typing import TYPE_CHECKING

import msgspec
import uvloop
from structlog.typing import FilteringBoundLogger

from hedgerow import __version__
from hedgerow.admission import Admission
from hedgerow.core.hedging import EarlyFailure, HedgePlan
from hedgerow.core.response_validation import classify_response
from hedgerow.gateway import Gateway, Policy
from hedgerow.http_front import IDLE_GRACE_S, HttpFront
from hedgerow.poll_breaker import PollBreaker
from hedgerow.scoreboard import Scoreboard, Seat
from hedgerow.settings import Settings, SocketBudget, Target
from hedgerow.sockets import Outbox
from hedgerow.telemetry.channel import (
    Answer,
    AskCounts,
    Counts,
    Farewell,
    Question,
    Ready,
    RecentRequests,
    answer_questions,
    line,
)
from hedgerow.telemetry.logs import Logs
from hedgerow.telemetry.recorder import Recorder
from hedgerow.telemetry.snapshot import Snapshot
from hedgerow.trampoline import Trampoline
from hedgerow.upstream import Upstream

if TYPE_CHECKING:
    from hedgerow.telemetry.tracing import Tracing

CLOCK = monotonic
"""uvloop's own `time()` is cut to milliseconds."""


GARBAGE = 500_000
"""More live containers than any load that the sockets allow makes (20 a request in flight): 100 MB or so."""


DESCRIPTORS_WITH_ROOM = 65_536
"""For so many the kernel's table is made at the start, which takes 512 KiB of its memory; where more are allowed (a
million in many containers) those beyond are rarely used."""

CLOSE_S = 1.0
"""Closing what is left after the drain takes some turns of the loop; nobody may be there to kill us if it hangs."""


class Order(msgspec.Struct):
    """What the supervisor tells a worker at its start."""

    settings: Settings
    target: Target
    slots: int
    """Of the scoreboard."""
    slot: int
    """This worker's."""


def begin_tracing(settings: Settings, target: Target, log: FilteringBoundLogger) -> "Tracing | None":
    """Record traces if it is wanted. OpenTelemetry is loaded only then: it takes 0.15 s and 13 MB."""
    if not settings.trace_sample:
        return None
    from hedgerow.telemetry.tracing import begin  # noqa: PLC0415

    return begin(settings.trace_sample, target, CLOCK, log)


class Worker:
    """The parts of one worker; `start`, then `drain` or not, then `close`."""

    def __init__(
        self, settings: Settings, target: Target, loop: AbstractEventLoop, seat: Seat | None = None
    ) -> None:
        descriptors = raise_descriptor_limit()
        budget = SocketBudget.of(descriptors, settings.hedges, settings.max_in_flight)
        self._drain_s = settings.drain_ms / 1000
        self.trampoline = Trampoline(loop, CLOCK)
        self.admission = Admission(
            budget.max_in_flight, self.trampoline.turns, adapts=settings.shedding == "on"
        )
        self.logs = Logs(settings.log_format, settings.log_level)
        self.recorder = Recorder(self.logs.log, settings.access_log, settings.hedges)
        self.tracing = begin_tracing(settings, target, self.logs.log)
        outbox = Outbox(self.trampoline.begin_turn)
        self.trampoline.flush = outbox.flush
        self.trampoline.on_turn = self.recorder.turn_took
        self.upstream = Upstream(
            target,
            settings.upstream_limits,
            max_connections=budget.max_upstream_connections,
            losers=settings.losers,
            loser_grace_s=settings.loser_grace_ms / 1000,
            classify_response=classify_response,
            outbox=outbox,
            trampoline=self.trampoline,
            observer=self.recorder,
            loop=loop,
            user_agent=f"hedgerow/{__version__}",
        )
        self.gateway = Gateway(
            self.upstream,
            Policy(
                HedgePlan(
                    settings.hedge_after_ms / 1000, settings.hedges, EarlyFailure(settings.hedge_on_failure)
                ),
                settings.default_timeout_ms,
                settings.max_timeout_ms,
            ),
            admission=self.admission,
            trampoline=self.trampoline,
            observer=self.recorder,
            tracer=self.tracing.sampler if self.tracing is not None else None,
        )
        self.front = HttpFront(
            self.gateway.handle,
            settings.client_limits,
            max_clients=budget.max_clients,
            on_refusal=self._on_refusal,
            outbox=outbox,
            trampoline=self.trampoline,
            loop=loop,
            is_hopeless=self.admission.is_hopeless,
            seat=seat,
        )

    def _on_refusal(self, code: str, reason: str) -> None:
        self.admission.note_refusal()
        self.recorder.request_rejected(code, reason)

    def start(self, sock: socket.socket) -> None:
        """Answer callers who connect to `sock`, which belongs to the worker from now on."""
        self.front.start(sock)

    async def drain(self) -> None:
        """Answer what is in flight, for `drain_ms` at the most (B13)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                await self.front.drain(min(IDLE_GRACE_S, self._drain_s / 2))

    async def close(self) -> None:
        """Cut off what is left, and leave no connection, task or timer behind."""
        await self.front.close()
        await self.upstream.close()
        self.trampoline.close()
        if self.tracing is not None:
            await self.tracing.close()

    def snapshot(self) -> Snapshot:
        """Tell this worker's counts."""
        snapshot = self.recorder.snapshot(self.upstream.connection_counts(), len(self.front.clients))
        snapshot.max_in_flight = self.admission.max_in_flight
        if isfinite(self.admission.pace):
            snapshot.paced, snapshot.pace = 1, self.admission.pace
        snapshot.shedding = int(self.admission.shedding)
        snapshot.log_lines_dropped = self.logs.dropped
        if self.tracing is not None:
            snapshot.spans = self.tracing.counts()
        return snapshot

    def answer(self, question: Question) -> Answer:
        """Tell the supervisor what it asks."""
        if isinstance(question, AskCounts):
            self.logs.summarise()
            if self.tracing is not None:
                self.tracing.report()
            return Counts(self.snapshot())
        recent, offset_s = self.recorder.recent, question.utc_offset_s
        if question.request_id is not None:
            return RecentRequests(recent.find(question.request_id.encode(), offset_s))
        return RecentRequests(recent.newest(question.most, offset_s))


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one, and tell it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def make_room_for_descriptors(number: int) -> None:
    """Have the kernel make its table of our descriptors as large as it will get, while we have no threads yet.

    It doubles the table when it is full, and in a process with threads whoever opens that socket then waits until all
    CPUs have let go of the old table (`expand_fdtable` in Linux's fs/file.c): 7 to 20 ms, six times from 256
    descriptors to 10 000, in which no answer leaves (decision 0012).
    """
    with suppress(OSError):  # the limit is lower than the number: there is nothing to make room for
        os.close(fcntl(sys.stderr.fileno(), F_DUPFD, min(number, DESCRIPTORS_WITH_ROOM) - 1))


def tame_garbage_collection() -> None:
    """Let collections be rare: each one stops the loop, for 60 ms with 4 000 requests in flight, and finds nothing.

    What stands now stands for good, so no collection looks at it again. What a request leaves behind is free of
    cycles and goes by itself; a collection is due when `GARBAGE` more objects live than did after the last one.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 10, 10)


async def _run(order: Order, sock: socket.socket, channel: socket.socket, board: Scoreboard) -> None:
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(sock=channel)
    worker = Worker(order.settings, order.target, loop, Seat(board, order.slot))
    worker.logs.catch_all()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    worker.start(sock)
    with suppress(OSError):  # no process may be started here; then turns are as long as libuv makes them
        breaker = await PollBreaker.start()

        def in_long_turn() -> None:
            worker.front.accept_more()
            breaker.end_turn_soon()

        worker.trampoline.in_long_turn = in_long_turn
    tame_garbage_collection()
    writer.write(line(Ready()))
    asking = loop.create_task(_answer(reader, writer, worker, stop))
    await stop.wait()
    await worker.drain()
    with suppress(TimeoutError):  # whatever hangs here ends with this process
        async with asyncio.timeout(CLOSE_S):
            await worker.close()
    writer.write(line(Farewell(worker.snapshot())))
    asking.cancel()
    await asyncio.wait([asking])
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    worker.logs.close()
    sys.stderr.flush()
    os._exit(
        0
    )  # here, not after the loop: a name lookup that hangs holds a thread, and closing the loop waits for it


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, worker: Worker, stop: asyncio.Event
) -> None:
    """Answer the supervisor's questions; a channel that closes means that it is gone."""
    await answer_questions(reader, writer, worker.answer)
    stop.set()


def main() -> None:
    """Run a worker: `python -m hedgerow.worker LISTENING-SOCKET CHANNEL SCOREBOARD`, its order in the channel.

    The three are descriptors.
    """
    make_room_for_descriptors(raise_descriptor_limit())
    for argument in sys.argv[1:4]:  # a child of ours must not keep the port, or our end of the channel
        os.set_inheritable(int(argument), False)
    sock, channel = (socket.socket(fileno=int(argument)) for argument in sys.argv[1:3])
    with channel.makefile("rb", buffering=0) as lines:
        order = msgspec.json.decode(lines.readline(), type=Order)
    uvloop.run(_run(order, sock, channel, Scoreboard(int(sys.argv[3]), order.slots)))


if __name__ == "__main__":
    main()
