"""How many connections each worker has, in memory that all of them share, so that they come out even.

Workers accept from one listening socket, so whoever wakes first would take all (nginx knew this as
`accept_mutex`); and keep-alive connections stay where they are, for hours. Here each looks at the others before
it accepts. The socket stays one, so what the kernel has queued is nobody's, and lost with no worker; with
SO_REUSEPORT it would be.
"""

import mmap
import os
from struct import Struct

_COUNT = Struct("@I")
_ABSENT = 0xFFFFFFFF
SLACK_SHARE = 1 / 8
"""A worker goes on accepting until it has so much more than the least loaded one: one eighth apart is even enough,
and exact evenness would let workers wait for each other at each connection."""


class ConnectionCounts:
    """One number a worker. Reading and writing aligned words needs no lock; a stale read costs a little evenness."""

    def __init__(self, descriptor: int, slots: int) -> None:
        self.descriptor = descriptor
        """To be inherited by the workers."""
        self._slots = slots
        self._memory = mmap.mmap(descriptor, slots * _COUNT.size)
        self._counts = memoryview(self._memory).cast("I")

    @classmethod
    def create(cls, slots: int) -> "ConnectionCounts":
        """Make one on which nobody stands yet."""
        descriptor = os.memfd_create("hedgerow-connection-counts")
        os.ftruncate(descriptor, slots * _COUNT.size)
        board = cls(descriptor, slots)
        for slot in range(slots):
            board.withdraw(slot)
        return board

    def set_count(self, slot: int, connections: int) -> None:
        """Tell the others."""
        self._counts[slot] = connections

    def withdraw(self, slot: int) -> None:
        """Nobody accepts here any more."""
        self._counts[slot] = _ABSENT

    def may_accept(self, slot: int) -> bool:
        """Tell whether the next connection is for this worker to take."""
        counts = self._counts
        own, least = counts[slot], min(counts)  # those that are absent have the highest number
        return own <= least + 1 + int(least * SLACK_SHARE)

    def close(self) -> None:
        """Give the memory back; the other processes keep theirs."""
        self._counts.release()
        self._memory.close()
        os.close(self.descriptor)


class AcceptBalancer:
    """One worker's place on the scoreboard, as its front sees it."""

    def __init__(self, board: ConnectionCounts, slot: int) -> None:
        self._board = board
        self._slot = slot

    def set_count(self, connections: int) -> None:
        """Tell the others how many connections this worker has."""
        self._board.set_count(self._slot, connections)

    def withdraw(self) -> None:
        """Accept no more: the others need not wait for us."""
        self._board.withdraw(self._slot)

    def may_accept(self) -> bool:
        """Tell whether the next connection is for this worker to take."""
        return self._board.may_accept(self._slot)
