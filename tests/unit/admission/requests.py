"""A request that waits, for tests without a worker."""

from hedgerow.admission.waiting import Waiting


class WaitingRequest(Waiting):
    """What admission sees of a request."""

    def __init__(self, wait_until: float) -> None:
        super().__init__()
        self.wait_until = wait_until
