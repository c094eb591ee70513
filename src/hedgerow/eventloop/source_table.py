"""The event handlers of an event loop, by descriptor."""

from hedgerow.eventloop.event_handler import EventHandler


class SourceTable:
    """A list with a place for each descriptor: the kernel gives them out from 0, the lowest that is free (open(2)).

    Each event is looked up here. In a dict of thousands that reads memory which is in no cache several times: its
    index, its entry, and the number that is the key, to compare it. Here it is one place of a list.
    """

    __slots__ = ("_added", "_by_fd", "_number")

    def __init__(self) -> None:
        self._by_fd: list[EventHandler | None] = []
        self._added: dict[int, EventHandler] = {}
        """Since the last poll: what that has found for a number was for a descriptor which is closed."""
        self._number = 0

    def __len__(self) -> int:
        """Return how many descriptors have a handler."""
        return self._number

    def add(self, fd: int, source: EventHandler) -> None:
        """Have `source` handle the events of `fd` that are polled from now on."""
        self._added[fd] = source
        self._number += 1

    def polled(self) -> None:
        """Go on with the events of another poll. Called before they are looked up."""
        if self._added:
            for fd, source in self._added.items():
                while len(self._by_fd) <= fd:
                    self._by_fd.append(None)
                self._by_fd[fd] = source
            self._added.clear()

    def replace(self, fd: int, source: EventHandler) -> None:
        """Have `source` handle the events of `fd` in place of the one that does."""
        if fd in self._added:
            self._added[fd] = source
        else:
            self._by_fd[fd] = source

    def get(self, fd: int) -> EventHandler | None:
        """Return what handles the events of `fd`, or None."""
        return self._by_fd[fd] if fd < len(self._by_fd) else None

    def remove(self, fd: int) -> None:
        """Forget `fd`. Raises KeyError if it has no handler."""
        if fd in self._added:
            del self._added[fd]
        elif fd < 0 or self.get(fd) is None:  # -1 is that of a closed socket
            raise KeyError(fd)
        else:
            self._by_fd[fd] = None
        self._number -= 1
