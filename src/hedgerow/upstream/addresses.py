"""The addresses of one upstream: which comes next, which to avoid, and when to look the name up again. Pure."""

from collections.abc import Sequence
from math import inf
from typing import Final

from hedgerow.net.tcp import Address

LOOKUP_PAUSE_S: Final = 1.0
"""Between two lookups of a name, however many connects fail: each costs a thread and a question to a DNS server."""


class AddressList:
    """The addresses of one name. Instants are passed in, in seconds.

    Addresses are used in turn. After an address has not let a connect succeed, the others come before it, until the
    next lookup; then one connect tries it again, and the others follow if that succeeds.
    """

    __slots__ = ("_current", "_failed", "_first_turn", "_hedge_turn", "_looked_up_at", "_retry", "_ttl_s", "all",
                 "generation", "next_lookup_at")  # fmt: skip

    def __init__(self, ttl_s: float) -> None:
        """`ttl_s` is inf where there is no name to look up."""
        self.all: Sequence[Address] = ()
        """Empty until the first lookup has succeeded."""
        self.generation = 0
        """How many lookups have removed addresses: while it stays the same, what was current is current."""
        self.next_lookup_at = 0.0
        self._ttl_s = ttl_s
        self._looked_up_at = -LOOKUP_PAUSE_S
        self._current: frozenset[Address] = frozenset()
        self._failed: set[Address] = set()
        self._retry: set[Address] = set()
        self._first_turn = 0
        self._hedge_turn = 0

    # -- lookups

    def set(self, addresses: Sequence[Address], now: float) -> None:
        """Replace the addresses by those of a lookup."""
        if not self._current.issubset(addresses):
            self.generation += 1
        self.all = addresses
        self._current = frozenset(addresses)
        self._failed &= self._current
        self._retry = self._failed.copy()
        self._looked_up_at = now
        self.next_lookup_at = now + self._ttl_s

    def keep(self, now: float) -> None:
        """Keep the addresses: a lookup has failed."""
        self._looked_up_at = now
        self.next_lookup_at = now + LOOKUP_PAUSE_S

    def is_current(self, address: Address) -> bool:
        """Return whether the last lookup that succeeded has returned `address`."""
        return address in self._current

    # -- connects

    def candidates(self, tried: Sequence[Address]) -> Sequence[Address]:
        """Return the addresses in the order in which to connect to them.

        `tried` are those of the other attempts of the same request: they come after the others, so that attempts do
        not share the fate of one address. Those that failed recently come last. Families alternate, for where one
        address of a family cannot be reached, often none can (RFC 8305 section 4).
        """
        if len(self.all) <= 1:
            return self.all
        fresh: list[Address] = []
        used: list[Address] = []
        failed: list[Address] = []
        for address in self.all:
            if address in self._failed and address not in self._retry:
                failed.append(address)
            elif address in tried:
                used.append(address)
            else:
                fresh.append(address)
        if tried:
            turn = self._hedge_turn
            self._hedge_turn = turn + 1
        else:
            turn = self._first_turn
            self._first_turn = turn + 1
        ordered = _in_turn(fresh, turn) + _in_turn(used, turn) + _in_turn(failed, turn)
        self._retry.discard(ordered[0])
        return ordered

    def connected(self, address: Address) -> None:
        """Called when `address` has let a connect succeed."""
        self._failed.discard(address)
        self._retry.discard(address)

    def failed(self, address: Address) -> None:
        """Called when a connect to `address` has failed, or has no answer yet: put it last, look the name up soon."""
        if address in self._current:
            self._failed.add(address)
            self._retry.discard(address)
        if self._ttl_s != inf:
            self.next_lookup_at = min(self.next_lookup_at, self._looked_up_at + LOOKUP_PAUSE_S)


def _in_turn(addresses: list[Address], turn: int) -> list[Address]:
    """Return `addresses` beginning with that of the turn, families alternating from there."""
    if len(addresses) <= 1:
        return addresses
    start = turn % len(addresses)
    rotated = addresses[start:] + addresses[:start]
    family = rotated[0][0]
    same = [address for address in rotated if address[0] == family]
    if len(same) == len(rotated):
        return rotated
    others = [address for address in rotated if address[0] != family]
    mixed: list[Address] = []
    for position in range(max(len(same), len(others))):
        mixed += same[position : position + 1]
        mixed += others[position : position + 1]
    return mixed
