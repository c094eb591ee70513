"""How many connections to upstreams one worker may have, and which makes way when there are as many."""

from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hedgerow.upstream.connection import UpstreamConnection
    from hedgerow.upstream.pool import ConnectionPool


MAX_PARALLEL_CONNECTS: Final = 8
"""Connects that may have further sockets beside their first, which counts as the connection; the others are of
`DescriptorBudget.RESERVE`. A connect beyond these closes a socket that has had its head start for the next one."""


class ConnectionBudget:
    """The connections of all pools of one worker (`DescriptorBudget.upstream_beside`).

    Each has an attempt of a request in flight, or has a loser, or is idle, or is opened for no attempt. There may be at
    least as many connections as requests in flight have attempts. So an attempt that needs one gets it: one of the
    others makes way.
    """

    __slots__ = ("_pools", "in_use", "max_connections", "parallel_connects")

    def __init__(self, max_connections: int) -> None:
        self.max_connections = max_connections
        self.in_use = 0
        self.parallel_connects = 0
        """Connects that have further sockets, or had some."""
        self._pools: list[ConnectionPool] = []

    @property
    def is_full(self) -> bool:
        """Return whether there are as many as there may be."""
        return self.in_use >= self.max_connections

    def add_pool(self, pool: "ConnectionPool") -> None:
        """Have the connections of `pool` make way, too."""
        self._pools.append(pool)

    def begin_parallel_connect(self) -> bool:
        """Return whether a connect may have further sockets; `end_parallel_connect` is called after it."""
        if self.parallel_connects >= MAX_PARALLEL_CONNECTS:
            return False
        self.parallel_connects += 1
        return True

    def end_parallel_connect(self) -> None:
        """Note that a connect has no further sockets any more."""
        self.parallel_connects -= 1

    def make_room(self) -> bool:
        """Close the connection that is missed least; return whether there was one.

        The one that has been idle for longest costs only its handshake; else the attempt that has lost first.
        """
        idle: UpstreamConnection | None = None
        loser_pool: ConnectionPool | None = None
        oldest_since = inf
        for pool in self._pools:
            oldest = pool.idle.oldest()
            if oldest is not None and (idle is None or oldest.idle_since < idle.idle_since):
                idle = oldest
            if pool.losers.oldest_since < oldest_since:
                oldest_since = pool.losers.oldest_since
                loser_pool = pool
        if idle is not None:
            idle.close()
            return True
        if loser_pool is not None:
            return loser_pool.evict_loser()
        return any(pool.evict_handshake() for pool in self._pools)
