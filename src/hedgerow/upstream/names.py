"""The names of an upstream's endpoints, looked up beside the traffic."""

from collections.abc import Callable, Sequence
from math import inf
from typing import Final, Protocol, TypeAlias

from hedgerow.core.outcomes import Failure
from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.loop import EventLoop
from hedgerow.net.resolver import OnResult, numeric_addresses
from hedgerow.net.tcp import Address
from hedgerow.settings import Target

LOOKUP_PAUSE_S: Final = 1.0
"""Between two lookups of a name, however many connects fail: each costs a thread and a question to a DNS server."""

OnLookup: TypeAlias = Callable[[Target, Sequence[Address] | Failure], None]


class PendingLookup(Protocol):
    """`net.resolver.Lookup`, or what stands for it in a test."""

    def cancel(self) -> None: ...


class NameLookup(Protocol):
    """`net.resolver.Resolver`, or what stands for it in a test."""

    def look_up(self, host: str, port: int, on_result: OnResult) -> PendingLookup: ...


class Name(EventHandler):
    """Looks one name up each `ttl_s`, and soon after a connect has failed; an IP address never."""

    __slots__ = ("_closed", "_due_at", "_looked_up_at", "_lookup", "_loop", "_next_at", "_on_lookup", "_resolver",
                 "_tick", "_ttl_s", "addresses", "target")  # fmt: skip

    def __init__(
        self, target: Target, ttl_s: float, loop: EventLoop, resolver: NameLookup, on_lookup: OnLookup
    ) -> None:
        """`on_lookup` is called with what each lookup comes to."""
        self.target = target
        self.addresses = numeric_addresses(target.host, target.port)
        """Where it is no name but an IP address."""
        self._ttl_s = inf if self.addresses else ttl_s
        self._loop = loop
        self._resolver = resolver
        self._on_lookup = on_lookup
        self._lookup: PendingLookup | None = None
        self._looked_up_at = -LOOKUP_PAUSE_S
        self._next_at = inf if self.addresses else -inf
        self._due_at = inf
        """Of the deadline that is set; infinite while there is none."""
        self._tick = 0
        self._closed = False

    @property
    def is_pending(self) -> bool:
        """Return whether a lookup is under way."""
        return self._lookup is not None

    def look_up_soon(self) -> None:
        """Look the name up `LOOKUP_PAUSE_S` after the last time: it may have moved."""
        if self._ttl_s != inf:
            self._next_at = min(self._next_at, self._looked_up_at + LOOKUP_PAUSE_S)
            self.schedule()

    def schedule(self) -> None:
        """Have the name looked up when it is due; at once, if it is due."""
        if self._closed or self._lookup is not None:
            return
        if self._next_at <= self._loop.clock():
            self._set_deadline(inf)
            self._lookup = self._resolver.look_up(self.target.host, self.target.port, self._report)
        else:
            self._set_deadline(self._next_at)

    def close(self) -> None:
        """Look the name up no more."""
        self._closed = True
        self._set_deadline(inf)
        lookup, self._lookup = self._lookup, None
        if lookup is not None:
            lookup.cancel()

    def on_deadline(self) -> None:
        """Look the name up again."""
        self._due_at = inf
        self.schedule()

    def _set_deadline(self, due_at: float) -> None:
        if due_at != self._due_at:
            if self._due_at != inf:
                self._loop.cancel(self._tick, self)
            self._due_at = due_at
            if due_at != inf:
                self._tick = self._loop.call_at(due_at, self)

    def _report(self, result: Sequence[Address] | Failure) -> None:
        self._lookup = None
        self._looked_up_at = now = self._loop.clock()
        self._next_at = now + (LOOKUP_PAUSE_S if isinstance(result, Failure) else self._ttl_s)
        self._on_lookup(self.target, result)
        self.schedule()
