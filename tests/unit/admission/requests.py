"""A request that waits, for tests without a worker."""


class WaitingRequest:
    """What admission sees of a request."""

    def __init__(self, wait_until: float) -> None:
        self.wait_until = wait_until
        self.is_waiting = True
