"""The memory that request bodies take, over all clients of one worker."""


class BodyMemory:
    """Counts the bytes of bodies, from their arrival to the answers to their requests."""

    __slots__ = ("_max_bytes", "used")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.used = 0

    def take(self, size: int) -> bool:
        """Count `size` more bytes; return False, and count nothing, if there is no room for them."""
        if self.used + size > self._max_bytes:
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        """Count `size` bytes less."""
        self.used -= size
