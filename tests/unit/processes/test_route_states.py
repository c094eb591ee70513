"""What is in flight, held and ejected at one moment is added to the counts."""

from hedgerow.core.hedge_limit import HedgeLimit
from hedgerow.core.route import Route
from hedgerow.processes.route_states import add_endpoint_states, add_route_states
from hedgerow.settings.routes import MAX_ENDPOINTS_SHOWN
from hedgerow.telemetry.endpoint_counts import EndpointCounts
from hedgerow.telemetry.snapshot import Snapshot, add
from hedgerow.upstream.endpoint_states import EndpointState
from support.attempts import a_route


class Pool:
    def __init__(self, states: list[EndpointState]) -> None:
        self._states = states

    def endpoint_states(self) -> list[EndpointState]:
        return self._states


def limited(name: str, limit: HedgeLimit) -> Route:
    route = a_route(name)
    route.hedge_limit = limit
    return route


def test_without_a_limit_what_is_in_flight_is_counted_and_the_hedge_delay() -> None:
    route, counts = a_route(), Snapshot()
    route.in_flight, route.attempts_in_flight = 4, 6
    add_route_states(counts, [route], 7.0)
    of_route = counts.routes["/api/smart"]["default"]
    assert (of_route.in_flight, of_route.attempts_in_flight) == (4, 6)
    assert (of_route.hedge_delay_s, of_route.workers) == (0.3, 1)
    assert (counts.attempts_in_flight, counts.hedge_limited_workers) == (6, 0)
    assert counts.first_attempts_judged == {}


def test_limits_of_several_routes_are_added_up_and_kept_by_route() -> None:
    free, held = HedgeLimit(0.3, holds=True), HedgeLimit(0.3, holds=True)
    free.first_was_quick(7.0, 1)
    for _ in range(20):
        held.first_was_late(7.4, 8, 2, first_failed=False)
    counts = Snapshot()
    ceiling = HedgeLimit(0.3, holds=False, ceiling=10)
    add_route_states(counts, [limited("free", free), limited("held", held), limited("ceiling", ceiling)], 7.5)
    assert (counts.hedge_limited_workers, counts.hedge_limit) == (1, 14.0)
    assert counts.first_attempts_judged == {"quick": 1, "late": 20}
    assert counts.hedge_limit_halvings == {"late": 1, "unanswered": 0}
    limits = {name: by_upstream["default"].hedge_limit for name, by_upstream in counts.routes.items()}
    assert limits == {"free": 0.0, "held": 4.0, "ceiling": 10.0}
    assert counts.routes["free"]["default"].first_attempts_judged == {"quick": 1, "late": 0}


def state(address: str, *, in_flight: int = 0, failures: int = 0, is_ejected: bool = False) -> EndpointState:
    return EndpointState("http://shop", address, in_flight, failures, is_ejected, is_unreachable=is_ejected)


def test_each_address_has_its_state_and_those_of_all_workers_are_added_up() -> None:
    one, other = Snapshot(), Snapshot()
    quiet = state("192.0.2.1:80", in_flight=1)
    failing = state("192.0.2.2:80", failures=5, is_ejected=True)
    add_endpoint_states(one, {"shop": Pool([quiet, failing]), "none": Pool([])})
    add_endpoint_states(other, {"shop": Pool([quiet]), "none": Pool([])})
    assert add(one, other).endpoints == {
        "shop": {
            "http://shop 192.0.2.1:80": EndpointCounts(in_flight=2),
            "http://shop 192.0.2.2:80": EndpointCounts(failures=5, ejected_workers=1, unreachable_workers=1),
        },
        "none": {},
    }


def test_of_many_addresses_in_all_upstreams_none_is_shown() -> None:
    few = [state(f"192.0.2.{number}:80") for number in range(MAX_ENDPOINTS_SHOWN - 1)]
    counts = Snapshot()
    add_endpoint_states(counts, {"few": Pool(few), "one": Pool([state("192.0.2.99:80")])})
    assert sum(map(len, counts.endpoints.values())) == MAX_ENDPOINTS_SHOWN
    counts = Snapshot()
    add_endpoint_states(
        counts, {"few": Pool(few), "two": Pool([state("192.0.2.98:80"), state("192.0.2.99:80")])}
    )
    assert counts.endpoints == {}
