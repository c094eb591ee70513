"""The endpoints of one upstream: which one the next attempt goes to, and which are left out for a while. Pure.

Each address of each of the upstream's names is an endpoint. State is a function of the instant that is given: nothing
has to happen for an endpoint to come back.
"""

from collections.abc import Sequence
from math import inf
from random import Random
from typing import Final

from hedgerow.core.outcomes import Failure, FailureReason, Outcome
from hedgerow.net.tcp import Address
from hedgerow.settings import Target
from hedgerow.settings.routes import OutlierDetection
from hedgerow.upstream.endpoint import Endpoint

UNREACHABLE_S: Final = 1.0
"""After a connect has failed the others are used for this long, then one connect tries it again: each such try can take
as long as a head start (0.25 s). If it goes on failing, it is ejected."""
MAX_EJECTION_S: Final = 300.0
"""An ejection is not doubled beyond this, Envoy's default too; where `ejection_time_s` is longer, it is that."""
MAX_DOUBLINGS: Final = 16
"""Ejections that are remembered: 1 ms doubled as often is a minute."""

FAULTS: Final = frozenset((
    FailureReason.TLS, FailureReason.RESET, FailureReason.PROTOCOL, FailureReason.STATUS_5XX,
    FailureReason.BAD_JSON, FailureReason.BAD_PAYLOAD, FailureReason.SCHEMA,
))  # fmt: skip
"""What an attempt came to that speaks against its endpoint. Other failures that are answers (4xx, too large) say
something of the request, and end a row of faults as a success does. `timeout` is an attempt that was cut: neither.
`connect` is counted by the connects themselves, of which one attempt may make several."""


class Endpoints:
    """All endpoints of one upstream. Instants are seconds of the clock in `now`."""

    __slots__ = (
        "_by_target", "_detection", "_first_turn", "_hedge_turn", "_is_round_robin", "_random", "_usable",
        "_usable_until", "_was_only", "all", "only",
    )  # fmt: skip

    def __init__(
        self,
        targets: Sequence[Target],
        lb_policy: str,
        detection: OutlierDetection | None,
        random: Random | None = None,
    ) -> None:
        """`lb_policy` is `least_request` or `round_robin`; `random` is a seeded one in tests."""
        self.all: list[Endpoint] = []
        """Empty until the first lookup has succeeded."""
        self.only: Endpoint | None = None
        """The endpoint, where there is a single one: nothing has to be chosen then."""
        self._was_only: Endpoint | None = None
        """The last `only`: attempts went to it without being noted."""
        self._by_target: dict[Target, list[Endpoint]] = {target: [] for target in targets}
        self._is_round_robin = lb_policy == "round_robin"
        self._detection = detection
        self._random = random or Random()  # noqa: S311 (no secret depends on it)
        self._first_turn = 0
        self._hedge_turn = 0
        self._usable: list[Endpoint] = []
        self._usable_until = -inf
        """Until this instant `_usable` holds."""

    def replace(self, target: Target, addresses: Sequence[Address]) -> None:
        """Set the addresses of `target`'s name. What is known of those that stay is kept."""
        before = {endpoint.address: endpoint for endpoint in self._by_target[target]}
        found: list[Endpoint] = []
        for address in dict.fromkeys(addresses):
            known = before.pop(address, None)
            found.append(Endpoint(target, address) if known is None else known)
        for gone in before.values():
            gone.is_current = False
        self._by_target[target] = found
        self.all = [endpoint for endpoints in self._by_target.values() for endpoint in endpoints]
        if self.only is not None:
            self._was_only = self.only
        self.only = self.all[0] if len(self.all) == 1 else None
        self._usable_until = -inf

    # -- which one

    def choose(self, tried: list[Endpoint], now: float) -> Endpoint:
        """Return the endpoint of a request's next attempt, and add it to `tried`, those of its earlier attempts.

        One that was tried less often comes before the others; one that is left out, only where all are. There must be
        one. The less busy of two drawn at random is close to the least busy of all, without the herd that all workers
        make to that one (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).
        """
        if self.only is not None:
            tried.append(self.only)
            return self.only
        candidates = self.usable(now) or self.all
        if tried:
            self._renew(tried)
            tries = [tried.count(endpoint) for endpoint in candidates]
            fewest = min(tries)
            candidates = [
                endpoint for endpoint, count in zip(candidates, tries, strict=True) if count == fewest
            ]
        endpoint = self._pick(candidates, is_hedge=bool(tried))
        if endpoint.unreachable_until:  # the others wait for what becomes of this one
            endpoint.unreachable_until = now + UNREACHABLE_S
            self._usable_until = -inf
        tried.append(endpoint)
        return endpoint

    def _renew(self, tried: list[Endpoint]) -> None:
        """Put what the name has for an address now in place of what it had before it lost it for a while."""
        for place, endpoint in enumerate(tried):
            if not endpoint.is_current:
                for present in self._by_target[endpoint.target]:
                    if present.address == endpoint.address:
                        tried[place] = present

    def recall(self, tried: list[Endpoint], attempts: int) -> None:
        """Add to `tried` the attempts that it lacks, of `attempts`: they went to what was the only endpoint."""
        if len(tried) < attempts and self._was_only is not None:
            tried += [self._was_only] * (attempts - len(tried))

    def _pick(self, candidates: list[Endpoint], *, is_hedge: bool) -> Endpoint:
        number = len(candidates)
        if number == 1:
            return candidates[0]
        if (
            self._is_round_robin
        ):  # hedges have turns of their own, or two endpoints would be first and hedge for ever
            turn = self._hedge_turn if is_hedge else self._first_turn
            if is_hedge:
                self._hedge_turn = turn + 1
            else:
                self._first_turn = turn + 1
            return candidates[turn % number]
        first = int(self._random.random() * number)
        second = int(self._random.random() * (number - 1))
        if second >= first:
            second += 1
        one, other = candidates[first], candidates[second]
        return one if one.in_flight <= other.in_flight else other

    def usable(self, now: float) -> list[Endpoint]:
        """Return those that are not left out; the list must not be changed."""
        if now >= self._usable_until:
            self._usable = [endpoint for endpoint in self.all if endpoint.is_usable(now)]
            self._usable_until = inf
            for endpoint in self.all:
                for until in (endpoint.ejected_until, endpoint.unreachable_until):
                    if until > now:
                        self._usable_until = min(self._usable_until, until)
        return self._usable

    def in_order(self, first: Endpoint, now: float) -> list[Endpoint]:
        """Return the endpoints in the order in which to connect: `first`, and those that may stand in for it.

        Families alternate, for where one address of a family cannot be reached, often none can (RFC 8305 section 4).
        Those that are left out come last.
        """
        if self.only is first:
            return [first]
        start = self.all.index(first) if first in self.all else 0
        others = [endpoint for endpoint in self.all[start:] + self.all[:start] if endpoint is not first]
        usable = [endpoint for endpoint in others if endpoint.is_usable(now)]
        return _alternating([first, *usable]) + [each for each in others if not each.is_usable(now)]

    # -- what came of it

    def finished(self, endpoint: Endpoint, outcome: Outcome, now: float) -> None:
        """Record the outcome of an attempt that was sent to `endpoint`.

        It may be left out for a success where neither `failures` nor `unreachable_until` is set.
        """
        if isinstance(outcome, Failure):
            if outcome.reason in FAULTS:
                self._failed(endpoint, now)
                return
            if outcome.reason in (FailureReason.TIMEOUT, FailureReason.CONNECT):
                return
        endpoint.failures = 0
        self.connected(endpoint)

    def connected(self, endpoint: Endpoint) -> None:
        """Record that a connect has succeeded. It ends no row of failures: that is for an answer to do."""
        if endpoint.unreachable_until:
            endpoint.unreachable_until = 0.0
            self._usable_until = -inf

    def connect_failed(self, endpoint: Endpoint, now: float) -> None:
        """Record that a connect has failed, or has not succeeded within its head start."""
        endpoint.unreachable_until = now + UNREACHABLE_S
        self._usable_until = -inf
        self._failed(endpoint, now)

    def _failed(self, endpoint: Endpoint, now: float) -> None:
        rule = self._detection
        if now < endpoint.ejected_until:  # sent before, or for want of another
            return
        endpoint.failures += 1
        if rule is None or endpoint.failures < rule.consecutive_failures or not self._may_eject(rule, now):
            return
        forgotten = int((now - endpoint.ejected_until) / rule.ejection_time_s)
        endpoint.ejections = min(max(endpoint.ejections - forgotten, 0) + 1, MAX_DOUBLINGS)
        span_s = rule.ejection_time_s * float(1 << (endpoint.ejections - 1))
        endpoint.ejected_until = now + min(span_s, max(MAX_EJECTION_S, rule.ejection_time_s))
        endpoint.failures = 0
        self._usable_until = -inf

    def _may_eject(self, rule: OutlierDetection, now: float) -> bool:
        """Return whether one more may be ejected: one always, further ones up to the share (0 % is none at all)."""
        ejected = 0
        for endpoint in self.all:
            if endpoint.ejected_until > now:
                ejected += 1
        if len(self.all) < 2 or not rule.max_ejection_percent:
            return False
        return not ejected or 100 * (ejected + 1) <= rule.max_ejection_percent * len(self.all)


def take_untried(left: list[Endpoint], tried: list[Endpoint], now: float) -> Endpoint:
    """Take the first of `left` that is usable and not in `tried`, or the first of all, and add it to `tried`."""
    for position, endpoint in enumerate(left):
        if endpoint not in tried and endpoint.is_usable(now):
            del left[position]
            break
    else:
        endpoint = left.pop(0)
    tried.append(endpoint)
    return endpoint


def _alternating(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Return `endpoints` with address families in turn, beginning with that of the first."""
    family = endpoints[0].address[0]
    same = [endpoint for endpoint in endpoints if endpoint.address[0] == family]
    if len(same) == len(endpoints):
        return endpoints
    others = [endpoint for endpoint in endpoints if endpoint.address[0] != family]
    mixed: list[Endpoint] = []
    for position in range(max(len(same), len(others))):
        mixed += same[position : position + 1]
        mixed += others[position : position + 1]
    return mixed
