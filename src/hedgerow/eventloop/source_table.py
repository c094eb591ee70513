"""The event handlers of an event loop, by descriptor."""

from hedgerow.eventloop.event_handler import EventHandler


class SourceTable:
    """A list with a place for each descriptor: the kernel gives them out from 0, the lowest that is free (open(2)).

    Each event is looked up here. In a dict of thousands that reads memory which is in no cache several times: its
    index, its entry, and the number that is the key, to compare it. Here it is one place of a list.
    """

    __slots__ = ("_by_fd", "_number")

    def __init__(self) -> None:
        self._by_fd: list[EventHandler | None] = []
        self._number = 0

    def __len__(self) -> int:
        """Return how many descriptors have a handler."""
        return self._number

    def set(self, fd: int, source: EventHandler) -> None:
        """Have `source` handle the events of `fd`, in place of any other."""
        while len(self._by_fd) <= fd:
            self._by_fd.append(None)
        if self._by_fd[fd] is None:
            self._number += 1
        self._by_fd[fd] = source

    def get(self, fd: int) -> EventHandler | None:
        """Return what handles the events of `fd`, or None."""
        return self._by_fd[fd] if fd < len(self._by_fd) else None

    def remove(self, fd: int) -> None:
        """Forget `fd`. Raises KeyError if it has no handler."""
        if self.get(fd) is None:
            raise KeyError(fd)
        self._by_fd[fd] = None
        self._number -= 1
