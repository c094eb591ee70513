"""One address of an upstream as its workers see it."""

import msgspec


class EndpointCounts(msgspec.Struct):
    """The sums of all workers' views at one moment."""

    in_flight: int = 0
    """Attempts that are sent to it or run there, losers included."""
    failures: int = 0
    """In a row, in all workers."""
    ejected_workers: int = 0
    """Workers that leave it out for its failures."""
    unreachable_workers: int = 0
    """Workers of which a connect has failed within the last second."""
