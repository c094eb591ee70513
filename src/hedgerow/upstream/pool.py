"""The pool: whatever an attempt needs to reach the upstream, in O(1), and never more than its bounds.

There is no queue for a connection. An attempt takes the connection that was idle for the shortest time, or a
new one; when there are as many as may be, the oldest loser makes way. So an admitted request is never short of
its hedges (grpc/grpc-java#7222: a hedge that was held back hung its request).
"""

import asyncio
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Final

from hedgerow.core.observer import Observer
from hedgerow.core.outcomes import Attempt, AttemptHandle, Failure, FailureReason, Outcome
from hedgerow.eventloop.deadlines import ExpiryQueue
from hedgerow.settings import Losers, Target, UpstreamLimits
from hedgerow.sockets import Outbox
from hedgerow.trampoline import Trampoline
from hedgerow.upstream.connection import Connection, State
from hedgerow.upstream.dialing import Dialer, DialError

SWEEP_S: Final = 1.0
"""How often idle connections are looked at; they may outlive `idle_timeout_s` by so much."""


class Upstream:
    """One upstream, its connections and its losers; `close` waits for all that it started."""

    def __init__(
        self,
        target: Target,
        limits: UpstreamLimits,
        *,
        max_connections: int,
        losers: Losers,
        loser_grace_s: float,
        classify_response: Callable[[int, bytes], Outcome],
        outbox: Outbox,
        trampoline: Trampoline,
        observer: Observer,
        loop: AbstractEventLoop,
        user_agent: str,
    ) -> None:
        self.limits = limits
        self.classify_response = classify_response
        self.outbox = outbox
        self.clock = trampoline.clock
        self.wake_due = trampoline.wake_due
        self.max_connections = max_connections
        self.connections: set[Connection] = set()
        self._idle: ExpiryQueue[Connection] = ExpiryQueue(limits.idle_timeout_s)
        self._losers: dict[Connection, None] = {}
        self._losers_run_on = losers is Losers.DRAIN
        self._loser_grace_s = loser_grace_s
        self._trampoline = trampoline
        self._observer = observer
        self._loop = loop
        self._dialer = Dialer(target, limits, loop, trampoline)
        self._sweeper: asyncio.TimerHandle | None = None
        self._gone: asyncio.Future[None] | None = None
        self._head = (
            f"GET {target.path} HTTP/1.1\r\n"
            f"Host: {target.authority}\r\n"
            f"User-Agent: {user_agent}\r\n"
            "Accept: application/json\r\n"
            "Accept-Encoding: identity\r\n"  # a compressed body could be a bomb (urllib3 CVE-2025-66471)
        ).encode("ascii")

    # -- what the gateway asks of it

    def carry(self, attempt: Attempt) -> AttemptHandle:
        """Send the attempt on a pooled connection, or on a new one. Never raises, never waits."""
        connection = self._idle.pop_newest()
        if connection is not None:
            connection.reused = True
            connection.send(attempt)
            return connection
        connection = Connection(self)
        connection.attempt = attempt
        if len(self.connections) >= self.max_connections and not self._drop_oldest_loser():
            connection.fail(
                Failure(FailureReason.CONNECT, f"all {self.max_connections} connections are in use")
            )
            self.lost(connection)
        else:
            self.connections.add(connection)
            self._dial(connection)
        return connection

    async def close(self) -> None:
        """Close every connection and wait until none is left; attempts that still run fail as `reset`."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self.connections):
            connection.fail(Failure(FailureReason.RESET, "the gateway stops"))
        if self.connections:
            self._gone = self._loop.create_future()
            await self._gone
        await self._dialer.close()

    def connection_counts(self) -> dict[str, int]:
        """Count the connections by state. For telemetry: it looks at each."""
        # 0.3 ms for 4 000 of them; counting their names took 1.3, once a second, and answers that were due waited.
        states = [connection.state for connection in self.connections]
        counts = {state.name.lower(): states.count(state) for state in State if state is not State.CLOSED}
        return {**counts, "loser": len(self._losers)}

    # -- what a connection asks of it

    def request_bytes(self, attempt: Attempt) -> bytes:
        """Write the request; the ids let the upstream's log and traces be joined with ours."""
        return b"%bX-Request-Id: %b\r\nHedgerow-Attempt: %d\r\n%b\r\n" % (
            self._head,
            attempt.request_id,
            attempt.number,
            attempt.span.headers if attempt.span is not None else b"",
        )

    def attempt_ended(self, connection: Connection, attempt: Attempt) -> None:
        """Count the attempt, and take its connection back if it is sound."""
        if connection.lost_race:
            self._trampoline.alarms.cancel(connection.alarm_tick, connection)
            self._losers.pop(connection, None)
        self._observer.attempt_ended(attempt, lost=connection.lost_race)
        connection.lost_race = connection.resent = False
        if connection.state is State.IDLE:
            self._idle.add(connection, attempt.ended_at or self.clock())
            if self._sweeper is None:
                self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    def abandoned(self, connection: Connection) -> None:
        """Let the loser run on for its grace, or cut it off."""
        if not self._losers_run_on:
            connection.fail(Failure(FailureReason.TIMEOUT, "cancelled: the race was over"))
            return
        self._losers[connection] = None
        connection.alarm_tick = self._trampoline.set_alarm(self.clock() + self._loser_grace_s, connection)

    def resend(self, connection: Connection) -> None:
        """Connect anew for the attempt that the connection carries. It stays the same attempt."""
        self._observer.reused_connection_died()
        self._dial(connection)

    def lost(self, connection: Connection) -> None:
        """Forget a connection that is closed, or never came about."""
        self._idle.discard(connection)
        self.connections.discard(connection)
        connection.release()
        if self._gone is not None and not self.connections and not self._gone.done():
            self._gone.set_result(None)

    # -- its own

    def _dial(self, connection: Connection) -> None:
        knock = self._dialer.knock(partial(self._knocked, connection))
        if knock is None:
            self._run(connection, self._dialer.dial(connection))
        else:
            connection.dial = knock

    def _knocked(self, connection: Connection, result: socket.socket | Failure) -> None:
        connection.dial = None
        if isinstance(result, Failure):
            connection.fail(result)
            self.lost(connection)
        else:
            connection.sock = result
            self._run(connection, self._dialer.adopt(connection))

    def _run(self, connection: Connection, coroutine: Coroutine[None, None, None]) -> None:
        connection.dial = dial = self._loop.create_task(coroutine)
        # A callback, for a task that is cancelled before its first step never gets to a `finally`.
        dial.add_done_callback(partial(self._dialed, connection))

    def _dialed(self, connection: Connection, dial: asyncio.Task[None]) -> None:
        if connection.dial is not dial:
            return  # in one turn it connected, was used, died, and is being connected anew: `resend`
        connection.dial = None
        error = None if dial.cancelled() else dial.exception()
        # Cancelled just as the connection came about, or out of time, uvloop closes it without a `connection_lost`.
        came_about = connection.connected and not dial.cancelled() and error is None
        if came_about and connection.state is not State.CLOSED:
            return
        if connection.sock is not None:
            connection.sock.close()
        cancelled = Failure(FailureReason.CONNECT, "cancelled while connecting")
        connection.fail(error.failure if isinstance(error, DialError) else cancelled)
        self.lost(connection)
        if error is not None and not isinstance(error, DialError):
            raise error

    def _drop_oldest_loser(self) -> bool:
        """Make way for an attempt that can still win."""
        for loser in self._losers:
            loser.fail(Failure(FailureReason.TIMEOUT, "cut off: its connection was needed"))
            return True
        return False

    def _sweep(self) -> None:
        for connection in self._idle.pop_expired(self.clock()):
            connection.close()
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep) if len(self._idle) else None
