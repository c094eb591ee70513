"""The listening side: accepts connections, owns them, and ends those that are idle, slow or deaf for too long."""

import asyncio
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from math import inf
from typing import Final, Protocol

from hedgerow.core.request import RequestIdGenerator
from hedgerow.core.response import problem_response
from hedgerow.eventloop.deadlines import ExpiryQueue
from hedgerow.http_front.client import ClientConnection, Handler, written
from hedgerow.http_front.heads import KnownHeads, Refused
from hedgerow.settings import ClientLimits
from hedgerow.sockets import Outbox, unread_for_s
from hedgerow.trampoline import Trampoline

SWEEP_S: Final = 0.5
"""How often overdue connections are looked for; they may outlive their limit by so much."""

ACCEPTS_PER_TURN: Final = 512
"""uvloop's own server accepts one connection in each turn of the loop (libuv#3696), so under load callers wait in
the kernel where no deadline sees them; more than this would let a flood of connections hold up the answers. Among
thousands of sockets that are ready the listening one comes up rarely, so 64 were too few: callers waited a second."""
ACCEPTS_IN_LONG_TURN: Final = 128
"""Each 5 ms of a turn that is longer than 20: 25 000 a second."""

TURNS_TO_READ: Final = 3
"""The loop turns so often before a drain or a sweep takes a connection for idle or slow: what has come is read by then,
also on a connection that has only just been accepted."""

IDLE_GRACE_S: Final = 1.0
"""A drain leaves idle connections open for so long: a request may be on its way, and closing loses it. It is
answered with `Connection: close`."""

TURN_AWAY_S: Final = 0.001
"""A worker with more connections than others looks away from the listening socket for so long."""
TURNS_AWAY: Final = 4
"""Then it takes what nobody else has taken: the others may be busy, or stopped."""

BEYOND: Final = 32
"""Connections that may stand beyond `max_clients`, to be told that they are refused and read on from for `linger_s`.
With what a worker needs anyway (20 or so) they have room in `SocketBudget.RESERVE`. A flood of others is turned away
as it is accepted: their lingering would use up the descriptors."""
TURNED_AWAY_BYTES: Final = 16 * 1024
"""Read of each of those before it is closed: the whole of a request, as long as a head may be."""

_TOGETHER_WITH_FIN: Final = getattr(socket, "MSG_MORE", 0)
"""Linux holds back what is sent with this flag until more comes, which is the FIN of closing: one packet, not two, so
that turning a connection away takes 23 µs in place of 35."""

ACCEPT_PAUSE_S: Final = 0.1
"""No accepting for so long after the kernel refused us a descriptor. The budget of sockets should prevent it."""

_RETRY_AFTER: Final = b"Retry-After: 1\r\n"
_NO_PLACE: Final = Refused(
    "overloaded", "more connections than can be served", headers=_RETRY_AFTER, reason="connections"
)
_NO_TIME: Final = Refused(
    "overloaded", "more than can be answered in time", headers=_RETRY_AFTER, reason="load"
)


class Seat(Protocol):
    """A worker's place among those that accept from the same socket."""

    def note(self, connections: int) -> None: ...
    def leave(self) -> None: ...
    def may_accept(self) -> bool: ...


class HttpFront:
    """One port: its listening socket and its callers."""

    def __init__(
        self,
        handler: Handler,
        limits: ClientLimits,
        *,
        max_clients: int,
        on_refusal: Callable[[str, str], None],
        outbox: Outbox,
        trampoline: Trampoline,
        loop: AbstractEventLoop,
        is_hopeless: Callable[[float], bool] = lambda _: False,
        seat: Seat | None = None,
    ) -> None:
        self.handler = handler
        self.limits = limits
        self.max_clients = max_clients
        self.on_refusal = on_refusal
        """Told the code of each answer that is given without asking the handler, and what it is counted under."""
        self.outbox = outbox
        self.clock = trampoline.clock
        self.wake_due = trampoline.wake_due
        self._turns = trampoline.turns
        self.is_hopeless = is_hopeless
        """Tells whether reading a new connection is for nothing, if something has waited in it for so long."""
        self.draining = False
        self.clients: set[ClientConnection] = set()
        self._loop = loop
        self._sock: socket.socket | None = None
        self._seat = seat
        self._connections = 0
        """Accepted and not yet gone, whether or not asyncio has them already."""
        self._turned_away = 0
        self._accepting = False
        self._opening: set[asyncio.Task[object]] = set()
        self._slow_heads: ExpiryQueue[ClientConnection] = ExpiryQueue(limits.head_timeout_s)
        self._deaf: ExpiryQueue[ClientConnection] = ExpiryQueue(limits.write_timeout_s)
        self._lingering: ExpiryQueue[ClientConnection] = ExpiryQueue(limits.linger_s)
        self._sweeper: asyncio.Handle | None = None
        self._accept_again: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None
        self.next_id = RequestIdGenerator().next
        self.known_heads = KnownHeads()
        self._date = b""
        self._date_at = -1.0

    # -- its life

    def start(self, sock: socket.socket) -> None:
        """Accept callers from a bound socket, which belongs to the front from now on."""
        # What it accepts inherits this.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.limits.send_buffer_bytes)
        sock.listen(self.limits.listen_backlog)
        sock.setblocking(False)
        self._sock = sock
        self._count(0)
        self._loop.add_reader(sock, self._accept)
        self._sweep_later()

    def stop_accepting(self) -> None:
        """Accept no further connection; those that stand are served on. New ones are refused by the kernel."""
        if self._accept_again is not None:
            self._accept_again.cancel()
        if self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._sock.close()
            self._sock = None
            if self._seat is not None:
                self._seat.leave()

    async def drain(self, idle_grace_s: float = IDLE_GRACE_S) -> None:
        """Accept what the kernel has queued, then nothing more; close each connection as its last answer is out.

        Idle connections have a grace in which to bring one more request. Cancelling leaves the connections to
        `close`.
        """
        self.draining = True
        while self._accept():
            pass
        self.stop_accepting()
        if self._opening:
            await asyncio.wait(self._opening)
        await self._read_what_has_come()
        with suppress(TimeoutError):
            async with asyncio.timeout(idle_grace_s):
                await self._wait_until_empty()
        await (
            self._read_what_has_come()
        )  # timers ring before I/O, and on a busy machine all of the grace may be one turn
        for client in list(self.clients):
            if client.idle_since < inf:
                client.close()
        await self._wait_until_empty()

    async def close(self) -> None:
        """Cut every connection off and wait until none is left."""
        self.stop_accepting()
        if self._opening:
            await asyncio.wait(self._opening)
        for client in list(self.clients):
            client.abort()
        await self._wait_until_empty()
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _read_what_has_come(self) -> None:
        for _ in range(TURNS_TO_READ):
            await asyncio.sleep(0)

    async def _wait_until_empty(self) -> None:
        if self.clients:
            self._emptied = self._loop.create_future()
            await self._emptied

    # -- accepting

    def accept_more(self) -> None:
        """Accept some in the middle of a long turn: in 0.2 s a jump of the load fills the kernel's queue, and whom it
        drops then is late by the second after which TCP tries again.
        """
        if self._accept_again is None and not self._accepting:
            self._accept(ACCEPTS_IN_LONG_TURN)

    def _accept(self, most: int = ACCEPTS_PER_TURN) -> bool:
        """Accept some of the connections that wait; tell whether there may be more."""
        self._accepting = True
        try:
            return self._accept_some(most)
        finally:
            self._accepting = False

    def _accept_some(self, most: int) -> bool:
        for _ in range(most):
            if self._sock is None or self._is_for_others():
                return False
            self.wake_due(self.clock())
            try:
                conn, _ = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                self._turned_away = 0
                return False
            except OSError:  # EMFILE and its like: the socket stays readable, so look away for a while
                self._loop.remove_reader(self._sock)
                self._accept_again = self._loop.call_later(ACCEPT_PAUSE_S, self._resume_accepting)
                return False
            conn.setblocking(False)
            beyond = self._connections >= self.max_clients + BEYOND
            if (beyond or self._is_late_for(conn)) and self._turn_away(
                conn, _NO_PLACE if beyond else _NO_TIME
            ):
                continue
            self._count(1)
            task = self._loop.create_task(self._open(conn))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        self._turned_away = 0
        return True

    def _is_late_for(self, conn: socket.socket) -> bool:
        """Tell whether we are behind, and what waits in a new connection would be refused anyway."""
        return self._turns.is_behind(self.clock()) and self.is_hopeless(unread_for_s(conn))

    def _turn_away(self, conn: socket.socket, refused: Refused) -> bool:
        """Refuse a connection and close it, at the cost of three system calls: nothing of it stays with us.

        If it has brought nothing yet, there is nothing to refuse for want of time: False, and it is as it was.
        """
        try:
            conn.recv(TURNED_AWAY_BYTES)  # closed with something unread, TCP takes back what was sent
        except BlockingIOError:
            if refused is _NO_TIME:
                return False
        except OSError:  # gone again
            conn.close()
            return True
        self.on_refusal(refused.code, refused.reason)
        request_id = self.next_id()
        reply = problem_response(refused.code, refused.detail, request_id, headers=refused.headers)
        waited_s, date = unread_for_s(conn), self.date(self.clock())
        answer = written(reply, request_id, waited_s, date, b"Connection: close\r\n", reply.body)
        with suppress(OSError):  # gone again
            conn.send(answer, _TOGETHER_WITH_FIN)
        conn.close()
        return True

    async def _open(self, conn: socket.socket) -> None:
        self.wake_due(self.clock())  # hundreds begin in a row, and a transport takes 60 µs
        try:
            await self._loop.connect_accepted_socket(lambda: ClientConnection(self, conn), conn)
        except OSError:  # gone again before it was ours
            conn.close()
            self._count(-1)

    def _is_for_others(self) -> bool:
        """Tell whether another worker has fewer connections; if so, look away for a moment."""
        if self._seat is None or self.draining or self._turned_away >= TURNS_AWAY or self._seat.may_accept():
            return False
        assert self._sock is not None  # noqa: S101 (for mypy)
        self._turned_away += 1
        self._loop.remove_reader(self._sock)
        self._accept_again = self._loop.call_later(TURN_AWAY_S, self._resume_accepting)
        return True

    def _count(self, change: int) -> None:
        self._connections += change
        if self._seat is not None and self._sock is not None:
            self._seat.note(self._connections)

    def _resume_accepting(self) -> None:
        self._accept_again = None
        if self._sock is not None:
            self._loop.add_reader(self._sock, self._accept)

    # -- what a connection tells it

    def connected(self, client: ClientConnection) -> bool:
        """Take the connection in, or refuse it: there is no descriptor for more than `max_clients`."""
        self.clients.add(client)
        if len(self.clients) <= self.max_clients:
            return True
        client.refuse(_NO_PLACE)
        return False

    def disconnected(self, client: ClientConnection) -> None:
        """Forget the connection."""
        self.clients.discard(client)
        self._count(-1)
        for queue in (self._slow_heads, self._deaf, self._lingering):
            queue.discard(client)
        if self._emptied is not None and not self.clients and not self._emptied.done():
            self._emptied.set_result(None)

    def slow_head(self, client: ClientConnection, *, begins: bool) -> None:
        """A head has begun and not ended; or now it has."""
        self._note(self._slow_heads, client, begins=begins)

    def deaf(self, client: ClientConnection, *, begins: bool) -> None:
        """It does not read its answers; or now it does again."""
        self._note(self._deaf, client, begins=begins)

    def lingers(self, client: ClientConnection) -> None:
        """It has had its last answer."""
        self._note(self._lingering, client, begins=True)

    def _note(self, queue: ExpiryQueue[ClientConnection], client: ClientConnection, *, begins: bool) -> None:
        if begins:
            queue.add(client, self.clock())
        else:
            queue.discard(client)

    # -- what it does for its connections

    def arrival(self, sock: socket.socket, now: float, *, first: bool) -> float:
        """Tell when the kernel had what is read now: our own lag is charged to us, not to the caller.

        The first bytes of a connection may have waited for it to be accepted, so they are always asked after.
        """
        if first or self._turns.is_behind(now):
            return self.clock() - unread_for_s(sock)  # since `now` others may have been answered
        return now

    def date(self, now: float) -> bytes:
        """Tell the `Date` header (RFC 9110 section 6.6.1), made once a second."""
        if now - self._date_at >= 1.0:
            self._date_at = now
            self._date = formatdate(usegmt=True).encode()
        return self._date

    def _sweep_later(self) -> None:
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep_after, TURNS_TO_READ)

    def _sweep_after(self, turns: int) -> None:
        """Timers ring before I/O: who has sent the rest of a head in time is not to blame for a stall of ours."""
        if turns:
            self._sweeper = self._loop.call_soon(self._sweep_after, turns - 1)
        else:
            self._sweep()

    def _sweep(self) -> None:
        now = self.clock()
        # A look at each of 10 000 takes 0.3 ms, twice a second; a queue of them took 0.5 µs of every request.
        long_ago = now - self.limits.idle_timeout_s
        for client in [client for client in self.clients if client.idle_since <= long_ago]:
            if client not in self._slow_heads:
                client.close()
        for client in self._slow_heads.pop_expired(now):
            timeout_s = self.limits.head_timeout_s
            client.refuse(
                Refused("bad_request", f"no whole head within {timeout_s:g} s", HTTPStatus.REQUEST_TIMEOUT)
            )
        for client in self._deaf.pop_expired(now):
            client.reset()
        for client in self._lingering.pop_expired(now):
            client.abort()
        self._sweep_later()
