"""Balances client connections among workers, by connection counts in shared memory.

All workers accept from one listening socket. Without balancing the worker that wakes first would accept all connections
(nginx knew this as `accept_mutex`), and keep-alive connections stay where they are for hours. So a worker compares its
count with those of its peers before it accepts. There is one socket, because with SO_REUSEPORT the connections that
the kernel has queued for a worker are lost when it ends.
"""

import mmap
import os
from struct import Struct

_COUNT = Struct("@I")
_ABSENT = 0xFFFFFFFF
SLACK_SHARE = 1 / 8
"""A worker stops accepting when it has this share more connections than the least loaded one. One eighth is even
enough; exact balance would make workers wait for each other at each connection."""


class ConnectionCounts:
    """One number for each worker. Aligned words need no lock; an outdated read costs a little balance."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        """Of the shared memory; the workers inherit it."""
        self._memory = mmap.mmap(descriptor, 0)  # all of it
        self._counts = memoryview(self._memory).cast("I")

    @classmethod
    def create(cls, slots: int) -> "ConnectionCounts":
        """Create the shared memory; no worker accepts yet."""
        descriptor = os.memfd_create("hedgerow-connection-counts")
        os.ftruncate(descriptor, slots * _COUNT.size)
        counts = cls(descriptor)
        for slot in range(slots):
            counts.withdraw(slot)
        return counts

    def set_count(self, slot: int, connections: int) -> None:
        """Publish the number of connections of a worker."""
        self._counts[slot] = connections

    def withdraw(self, slot: int) -> None:
        """Mark a worker as not accepting."""
        self._counts[slot] = _ABSENT

    def may_accept(self, slot: int) -> bool:
        """Return whether this worker may accept the next connection."""
        counts = self._counts
        own, least = counts[slot], min(counts)  # an absent worker has the highest number
        return own <= least + 1 + int(least * SLACK_SHARE)

    def close(self) -> None:
        """Unmap the memory in this process; other processes keep it."""
        self._counts.release()
        self._memory.close()
        os.close(self.descriptor)


class AcceptBalancer:
    """The connection counts from the view of one worker."""

    def __init__(self, counts: ConnectionCounts, slot: int) -> None:
        self._counts = counts
        self._slot = slot

    def set_count(self, connections: int) -> None:
        """Publish the number of connections of this worker."""
        self._counts.set_count(self._slot, connections)

    def withdraw(self) -> None:
        """Mark this worker as not accepting."""
        self._counts.withdraw(self._slot)

    def may_accept(self) -> bool:
        """Return whether this worker may accept the next connection."""
        return self._counts.may_accept(self._slot)
