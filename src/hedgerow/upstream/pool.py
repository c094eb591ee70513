"""The pool: whatever an attempt needs to reach the upstream, and never more than its bounds.

There is no queue for a connection. An attempt takes the connection to its endpoint that was idle for the shortest time,
or opens one, unless another becomes idle during its handshake; when there are as many as may be, another makes way. So
an admitted request is never short of its hedges (grpc/grpc-java#7222: a hedge that was held back hung its request).
"""

from collections.abc import Callable
from functools import partial

from hedgerow.core.answer_rules import KnownHeads
from hedgerow.core.observer import Observer
from hedgerow.core.outcomes import Attempt, AttemptHandle, AttemptSender, Failure, FailureReason, Outcome
from hedgerow.eventloop.loop import EventLoop
from hedgerow.net.stream import Stream
from hedgerow.settings import UpstreamLimits
from hedgerow.settings.routes import UpstreamRule
from hedgerow.upstream.connection import CONNECTING, IDLE, STATE_NAMES, UpstreamConnection
from hedgerow.upstream.connection_budget import ConnectionBudget
from hedgerow.upstream.connector import Connector
from hedgerow.upstream.endpoint import Endpoint
from hedgerow.upstream.endpoint_states import EndpointState, endpoint_states
from hedgerow.upstream.idle_connections import IdleConnections
from hedgerow.upstream.losers import CANCELLED, NEEDED, WORKER_ENDS, Losers
from hedgerow.upstream.opening_connections import OpeningConnections
from hedgerow.upstream.request_writer import RequestWriter


class ConnectionPool(AttemptSender):
    """One upstream's connections and losers, over all of its endpoints."""

    def __init__(
        self,
        rule: UpstreamRule,
        limits: UpstreamLimits,
        budget: ConnectionBudget,
        *,
        classify: Callable[[int, bytes], Outcome],
        loop: EventLoop,
        connector: Connector,
        observer: Observer,
        user_agent: str,
    ) -> None:
        self.limits = limits
        self.budget = budget
        self.classify = classify
        self.loop = loop
        self.connections: set[UpstreamConnection] = set()
        self.idle = IdleConnections(limits, loop)
        self.known_heads = KnownHeads()
        """Of answers to the routes that have no rules for them."""
        self.losers = Losers(rule.loser_grace_s, loop, self._end_loser)
        self.endpoints = connector.endpoints
        self._drains_losers = rule.losers == "drain"
        self._observer = observer
        self._connector = connector
        self._opening = OpeningConnections(loop, self._take_idle)
        self._writers = {target: RequestWriter(target, user_agent, loop.clock) for target in rule.endpoints}
        budget.add_pool(self)

    # -- called by the gateway

    def send(self, attempt: Attempt) -> AttemptHandle:
        """Send the attempt on a pooled connection, or on a new one. Never raises, never waits."""
        endpoint = self.endpoints.only
        if endpoint is None and self.endpoints.all:
            tried = _tried(attempt)
            self.endpoints.recall(tried, attempt.number - 1)
            endpoint = self.endpoints.choose(tried, attempt.launched_at)
        if endpoint is not None:
            connection = self._take_idle(attempt, endpoint)
            if connection is not None:
                try:
                    connection.send(attempt, attempt.launched_at)
                except Exception:  # the attempt is counted once this returns: it ends unreported
                    connection.assign(None, endpoint)
                    connection.close()
                    raise
                return connection
            connection = self._opening.take_over(
                attempt, endpoint, is_last_hedge=self._is_last_hedge(attempt)
            )
            if connection is not None:
                return connection
        connection = UpstreamConnection(self, attempt, endpoint)
        budget = self.budget
        if budget.is_full and not budget.make_room():  # an internal error, see there
            connection.fail(
                Failure(FailureReason.CONNECT, f"all {budget.max_connections} connections are in use")
            )
        else:
            budget.in_use += 1
            self.connections.add(connection)
            self._connect(connection, attempt)
        return connection

    def close(self) -> None:
        """Close every connection, and cut off the attempts that still run."""
        for connection in list(self.connections):
            connection.fail(WORKER_ENDS)
        self._connector.close()

    def connection_counts(self) -> dict[str, int]:
        """Count the connections by state. For telemetry: it looks at each."""
        # 0.3 ms for 4 000 of them, once a second.
        states = [connection.state for connection in self.connections]
        counts = {name: states.count(state) for state, name in enumerate(STATE_NAMES)}
        return {**counts, "loser": len(self.losers)}

    def endpoint_states(self) -> list[EndpointState]:
        """Return what is known of each endpoint, where they are few. For telemetry."""
        return endpoint_states(self.endpoints, self.loop.clock())

    # -- called by a connection

    def writer_for(self, endpoint: Endpoint) -> RequestWriter:
        """Return what writes the requests to `endpoint`: for each connection once."""
        return self._writers[endpoint.target]

    def attempt_finished(self, connection: UpstreamConnection, attempt: Attempt, at: float) -> None:
        """Count the attempt, and take its connection back if it can be used again."""
        if attempt.is_loser:
            self.losers.discard(connection)
        endpoint = connection.endpoint
        if endpoint is not None:
            outcome = attempt.outcome
            if outcome is not None and (
                endpoint.failures or endpoint.unreachable_until or isinstance(outcome, Failure)
            ):
                self.endpoints.finished(endpoint, outcome, at)
        self._observer.attempt_finished(attempt)
        connection.retried = False
        if endpoint is not None and connection.state == IDLE:
            self.add_idle(connection, endpoint, at)

    def add_idle(self, connection: UpstreamConnection, endpoint: Endpoint, at: float) -> None:
        """Keep a connection that has no attempt, for the next one or for one that waits."""
        self.idle.add(connection, endpoint, at)
        self._opening.connection_released(endpoint)

    def attempt_abandoned(self, connection: UpstreamConnection) -> None:
        """Drain the loser for its grace period, or close its connection."""
        if connection.state == CONNECTING:
            self._opening.mark_unneeded(connection)
        if self._drains_losers and not _has_unsent_message(connection):
            self.losers.add(connection)
        else:
            self._end_loser(connection, CANCELLED)

    def retry(self, connection: UpstreamConnection, attempt: Attempt) -> None:
        """Connect again for the attempt that the connection has; it stays the same attempt, to the same endpoint."""
        self._observer.stale_connection_retried()
        self._connect(connection, attempt)

    def on_closed(self, connection: UpstreamConnection) -> None:
        """Forget a connection."""
        if connection in self.connections:
            self.connections.remove(connection)
            self.budget.in_use -= 1
        self._opening.discard(connection)

    # -- called by the budget

    def evict_loser(self) -> bool:
        """Close the oldest loser; return whether there was one."""
        loser = self.losers.pop_oldest()
        if loser is None:
            return False
        loser.fail(NEEDED)
        return True

    def evict_handshake(self) -> bool:
        """Close the oldest connection that is being opened for no attempt; return whether there was one."""
        return self._opening.close_unneeded()

    # -- its own

    def _take_idle(self, attempt: Attempt, endpoint: Endpoint) -> UpstreamConnection | None:
        """Return a pooled connection that the attempt may have, for it to be sent on."""
        if self._is_last_hedge(attempt):
            connection = self.idle.take_for_last_hedge(endpoint, attempt.request.started_at)
        else:
            connection = self.idle.take(endpoint)
        if connection is not None:
            connection.reused = True
        return connection

    def _is_last_hedge(self, attempt: Attempt) -> bool:
        """Return whether it must not share the fate of the others, and may have a connection of its own."""
        number = attempt.number
        return number > 1 and number > attempt.request.route.plan.hedges and not self.budget.is_full

    def _end_loser(self, connection: UpstreamConnection, failure: Failure) -> None:
        """Close the connection of a loser; but let a TLS handshake continue, for the pool."""
        if connection.handshaking_with is not None:
            connection.finish_attempt(failure)
        else:
            connection.fail(failure)

    def _connect(self, connection: UpstreamConnection, attempt: Attempt) -> None:
        self._opening.add(connection)
        connection.connecting = self._connector.connect(
            connection.endpoint, _tried(attempt), partial(self._connected, connection)
        )

    def _connected(
        self, connection: UpstreamConnection, result: Stream | Failure, endpoint: Endpoint | None
    ) -> None:
        connection.connecting = None
        self._opening.discard(connection)
        if isinstance(result, Failure):
            connection.assign(connection.attempt, None)  # a failure was counted by the connects
            connection.fail(result)
        elif endpoint is not None:
            try:
                connection.open(result, endpoint)
            except Exception:  # noqa: BLE001 (B12: one attempt pays for an internal error)
                self.loop.internal_error()
                connection.abort()


def _has_unsent_message(connection: UpstreamConnection) -> bool:
    """Return whether a connection has an attempt that passes a client's request on, and has not sent all of it yet.

    What a client asks for is not done once more in vain: such a loser stays unsent. Nor is a body kept for an upstream
    that does not read it: its request is answered, and its memory counted as free.
    """
    attempt, stream = connection.attempt, connection.stream
    if attempt is None or (stream is not None and not stream.unsent_bytes):
        return False
    message = attempt.request.message
    return message is not None and message.forwarded is not None


def _tried(attempt: Attempt) -> list[Endpoint]:
    """Return the endpoints that attempts of the request went to, where there are several."""
    request = attempt.request
    if request.tried is None:
        request.tried = []
    return request.tried
