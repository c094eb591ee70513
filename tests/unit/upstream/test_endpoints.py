"""Which endpoint an attempt goes to, and which are left out, in virtual time."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.core.outcomes import Failure, FailureReason, Success
from hedgerow.net.tcp import Address
from hedgerow.settings import parse_target
from hedgerow.settings.routes import OutlierDetection
from hedgerow.upstream.endpoint import Endpoint
from hedgerow.upstream.endpoints import FAULTS, MAX_EJECTION_S, UNREACHABLE_S, Endpoints

TARGET = parse_target("http://upstream.test/base")
OTHER = parse_target("http://other.test/")
NOW = 1_000.0
RULE = OutlierDetection(consecutive_failures=5, ejection_time_s=30.0, max_ejection_percent=50)
FAULT = Failure(FailureReason.STATUS_5XX)
ANSWER = Success(b"{}")


def v4(name: str) -> Address:
    return (2, 1, 6, "", (name, 80))


def v6(name: str) -> Address:
    return (10, 1, 6, "", (name, 80, 0, 0))


def of(
    names: str, policy: str = "round_robin", rule: OutlierDetection | None = RULE, seed: int = 1
) -> Endpoints:
    """Return endpoints by the names of their hosts: capitals are addresses of IPv6."""
    endpoints = Endpoints((TARGET,), policy, rule, Random(seed))
    endpoints.replace(TARGET, [v6(name) if name.isupper() else v4(name) for name in names])
    return endpoints


def name(endpoint: Endpoint) -> str:
    return str(endpoint.address[4][0])


def named(endpoints: Endpoints, names: str) -> list[Endpoint]:
    return [next(one for one in endpoints.all if name(one) == each) for each in names]


def chosen(endpoints: Endpoints, tried: str = "", now: float = NOW) -> str:
    return name(endpoints.choose(named(endpoints, tried), now))


def fail(endpoints: Endpoints, names: str, times: int = 5, now: float = NOW) -> None:
    for endpoint in named(endpoints, names):
        for _ in range(times):
            endpoints.finished(endpoint, FAULT, now)


def left_out(endpoints: Endpoints, now: float) -> str:
    return "".join(name(one) for one in endpoints.all if not one.is_usable(now))


# -- which one


def test_u01_a_single_endpoint_is_always_the_one_and_is_never_left_out() -> None:
    endpoints = of("a")
    fail(endpoints, "a")
    tried: list[Endpoint] = []
    assert [name(endpoints.choose(tried, NOW)) for _ in range(3)] == ["a"] * 3
    assert [name(endpoint) for endpoint in tried] == ["a"] * 3, "there may be more at the next attempt"
    assert endpoints.only is endpoints.all[0]
    assert left_out(endpoints, NOW) == ""


def test_u01_each_address_of_each_name_is_an_endpoint_of_its_own() -> None:
    endpoints = Endpoints((TARGET, OTHER), "round_robin", None)
    endpoints.replace(OTHER, [v4("a")])
    assert endpoints.only is endpoints.all[0]
    endpoints.replace(TARGET, [v4("a"), v4("b"), v4("a")])
    assert [(one.target, name(one)) for one in endpoints.all] == [(TARGET, "a"), (TARGET, "b"), (OTHER, "a")]
    assert endpoints.only is None


def test_u02_round_robin_takes_them_in_turn() -> None:
    endpoints = of("abc", "round_robin")
    assert "".join(chosen(endpoints) for _ in range(7)) == "abcabca"


@pytest.mark.parametrize("policy", ["round_robin", "least_request"])
@pytest.mark.parametrize("hedges", [1, 2])
def test_u01_attempts_of_one_request_go_to_different_endpoints_and_load_all_alike(
    hedges: int, policy: str
) -> None:
    endpoints = of("abc", policy)
    used: Counter[str] = Counter()
    for _ in range(300):
        tried: list[Endpoint] = []
        for _ in range(1 + hedges):
            endpoints.choose(tried, NOW)
        assert len(set(tried)) == 1 + hedges
        used.update(map(name, tried))
    for count in used.values():
        assert abs(count - 100 * (1 + hedges)) <= (40 if policy == "least_request" else 0)


def test_u01_more_attempts_than_endpoints_use_all_again_alike() -> None:
    endpoints = of("abc")
    tried: list[Endpoint] = []
    for _ in range(6):
        endpoints.choose(tried, NOW)
    assert Counter(map(name, tried)) == {"a": 2, "b": 2, "c": 2}


def test_u02_least_request_takes_the_less_busy_of_two() -> None:
    endpoints = of("abc", "least_request")
    for endpoint, in_flight in zip(endpoints.all, (0, 1, 2), strict=True):
        endpoint.in_flight = in_flight
    used = Counter(chosen(endpoints) for _ in range(3_000))
    # Of the three pairs, a wins two and b one.
    assert used.keys() == {"a", "b"}
    assert abs(used["a"] - 2_000) < 150


def test_u02_a_slow_endpoint_gets_few_requests() -> None:
    """Each of the others answers within 20 ms, this one takes 2 s: 100 requests a second."""
    endpoints = of("abc", "least_request")
    ends: list[tuple[float, Endpoint]] = []
    used: Counter[str] = Counter()
    for number in range(3_000):
        now = NOW + number / 100
        for end in [end for end in ends if end[0] <= now]:
            ends.remove(end)
            end[1].in_flight -= 1
        endpoint = endpoints.choose([], now)
        endpoint.in_flight += 1
        ends.append((now + (2.0 if name(endpoint) == "a" else 0.02), endpoint))
        used[name(endpoint)] += 1
    assert used["a"] < 3_000 * 0.02


@given(
    number=st.integers(2, 6),
    policy=st.sampled_from(["least_request", "round_robin"]),
    events=st.lists(
        st.tuples(st.sampled_from(["fault", "answer", "refused", "wait"]), st.integers(0, 5)), max_size=60
    ),
    attempts=st.integers(1, 8),
    seed=st.integers(0, 3),
)
def test_u01_no_attempt_goes_to_an_endpoint_twice_while_another_is_untried_and_not_left_out(
    number: int, policy: str, events: list[tuple[str, int]], attempts: int, seed: int
) -> None:
    endpoints = of("abcdef"[:number], policy, seed=seed)
    now = NOW
    for event, which in events:
        endpoint = endpoints.all[which % number]
        if event == "fault":
            endpoints.finished(endpoint, FAULT, now)
        elif event == "answer":
            endpoints.finished(endpoint, ANSWER, now)
        elif event == "refused":
            endpoints.connect_failed(endpoint, now)
        else:
            now += which * 7.0
        ejected = [one for one in endpoints.all if one.ejected_until > now]
        assert len(ejected) <= max(1, number // 2)
    tried: list[Endpoint] = []
    for _ in range(attempts):
        usable = [one for one in endpoints.all if one.is_usable(now)]
        before = list(tried)
        endpoint = endpoints.choose(tried, now)
        assert tried == [*before, endpoint]
        if usable:
            assert endpoint in usable
            assert before.count(endpoint) == min(before.count(one) for one in usable)


# -- RFC 8305 section 4


@pytest.mark.parametrize(
    ("names", "expected"),
    [("PQab", "PaQb"), ("abPQ", "aPbQ"), ("Pabc", "Pabc"), ("PQRa", "PaQR"), ("PQ", "PQ"), ("a", "a")],
)
def test_u01_a_connect_falls_back_with_families_alternating(names: str, expected: str) -> None:
    endpoints = of(names)
    first = endpoints.choose([], NOW)
    assert "".join(map(name, endpoints.in_order(first, NOW))) == expected


def test_u01_a_connect_falls_back_to_the_next_and_last_to_those_left_out() -> None:
    endpoints = of("abcd")
    endpoints.connect_failed(endpoints.all[3], NOW)
    assert "".join(map(name, endpoints.in_order(endpoints.all[2], NOW))) == "cabd"


# -- connects that fail


def test_d1_an_endpoint_that_refuses_comes_last_even_after_one_that_was_tried() -> None:
    """`localhost` is ::1 and 127.0.0.1, and one of them listens: hedges shall not go where nothing is."""
    endpoints = of("Ab")
    endpoints.connect_failed(endpoints.all[0], NOW)
    assert [chosen(endpoints), chosen(endpoints), chosen(endpoints, "b")] == ["b", "b", "b"]


def test_d1_after_a_pause_one_connect_tries_it_again() -> None:
    """One that does not answer costs each connect 250 ms: only one at a time shall pay that."""
    endpoints = of("ab")
    endpoints.connect_failed(endpoints.all[0], NOW)
    assert {chosen(endpoints, now=NOW + UNREACHABLE_S - 0.01) for _ in range(4)} == {"b"}
    assert [chosen(endpoints, now=NOW + UNREACHABLE_S) for _ in range(8)].count("a") == 1


def test_d1_one_that_connects_after_all_is_as_good_as_the_others() -> None:
    endpoints = of("ab")
    endpoints.connect_failed(endpoints.all[0], NOW)
    endpoints.connected(endpoints.all[0])
    assert {chosen(endpoints) for _ in range(2)} == {"a", "b"}


def test_d1_one_that_answers_on_a_pooled_connection_is_reachable() -> None:
    endpoints = of("ab")
    endpoints.connect_failed(endpoints.all[0], NOW)
    assert endpoints.all[0].failures
    endpoints.finished(endpoints.all[0], ANSWER, NOW)
    assert {chosen(endpoints) for _ in range(2)} == {"a", "b"}


def test_u03_all_that_refuse_are_used_in_turn() -> None:
    endpoints = of("ab")
    for endpoint in endpoints.all:
        endpoints.connect_failed(endpoint, NOW)
    assert [chosen(endpoints) for _ in range(3)] == ["a", "b", "a"]


def test_u03_connects_that_fail_count_as_failures() -> None:
    """A blackholed endpoint must not be tried each second for good."""
    endpoints = of("ab")
    now = NOW
    for _ in range(5):
        endpoints.connect_failed(endpoints.all[0], now)
        now += UNREACHABLE_S
    assert left_out(endpoints, now + 25.0) == "a"


# -- ejection


def test_u03_consecutive_failures_eject() -> None:
    endpoints = of("abc")
    fail(endpoints, "a", 4)
    assert left_out(endpoints, NOW) == ""
    fail(endpoints, "a", 1)
    assert left_out(endpoints, NOW) == "a"
    assert {chosen(endpoints) for _ in range(6)} == {"b", "c"}


def test_u03_an_ejected_endpoint_is_back_after_its_time_without_any_event() -> None:
    endpoints = of("abc")
    fail(endpoints, "a")
    assert "a" not in {chosen(endpoints, now=NOW + 29.9) for _ in range(6)}
    assert "a" in {chosen(endpoints, now=NOW + 30.0) for _ in range(6)}


@pytest.mark.parametrize(
    "outcome",
    [
        ANSWER,
        *map(Failure, sorted(set(FailureReason) - FAULTS - {FailureReason.TIMEOUT, FailureReason.CONNECT})),
    ],
)
def test_u03_an_answer_ends_a_row(outcome: Success | Failure) -> None:
    """Also a 4xx or one that is too large: these say something of the request."""
    endpoints = of("abc")
    fail(endpoints, "a", 4)
    endpoints.finished(endpoints.all[0], outcome, NOW)
    assert not endpoints.all[0].failures
    fail(endpoints, "a", 4)
    assert left_out(endpoints, NOW) == ""


@pytest.mark.parametrize("reason", ["timeout", "connect"])
def test_u03_a_loser_that_was_cut_is_neither_failure_nor_answer(reason: str) -> None:
    """And a connect was counted as it failed, by the endpoint that it went to."""
    endpoints = of("abc")
    for _ in range(9):
        endpoints.finished(endpoints.all[0], Failure(FailureReason(reason)), NOW)
    fail(endpoints, "a", 4)
    endpoints.finished(endpoints.all[0], Failure(FailureReason(reason)), NOW)
    assert left_out(endpoints, NOW) == ""
    fail(endpoints, "a", 1)
    assert left_out(endpoints, NOW) == "a"


@pytest.mark.parametrize("reason", sorted(FAULTS))
def test_u03_what_speaks_against_an_endpoint(reason: FailureReason) -> None:
    endpoints = of("ab")
    for _ in range(5):
        endpoints.finished(endpoints.all[0], Failure(reason), NOW)
    assert left_out(endpoints, NOW) == "a"


def test_u03_each_further_ejection_is_twice_as_long_up_to_a_bound() -> None:
    endpoints = of("ab")
    now, spans = NOW, []
    for _ in range(6):
        fail(endpoints, "a", now=now)
        spans.append(endpoints.all[0].ejected_until - now)
        now = endpoints.all[0].ejected_until
    assert spans == [30.0, 60.0, 120.0, 240.0, MAX_EJECTION_S, MAX_EJECTION_S]


def test_u03_time_in_service_is_forgiving() -> None:
    endpoints = of("ab")
    now = NOW
    for _ in range(3):
        fail(endpoints, "a", now=now)
        now = endpoints.all[0].ejected_until
    now += 2 * 30.0
    fail(endpoints, "a", now=now)
    assert endpoints.all[0].ejected_until == now + 60.0
    now += 10_000.0
    fail(endpoints, "a", now=now)
    assert endpoints.all[0].ejected_until == now + 30.0


def test_u03_a_longer_time_than_the_bound_is_kept() -> None:
    endpoints = of("ab", rule=OutlierDetection(ejection_time_s=3_600.0))
    for now in (NOW, NOW + 3_600.0):
        fail(endpoints, "a", now=now)
        assert endpoints.all[0].ejected_until == now + 3_600.0


def test_u03_failures_during_an_ejection_do_not_prolong_it() -> None:
    endpoints = of("ab")
    fail(endpoints, "a", 50)
    assert endpoints.all[0].ejected_until == NOW + 30.0
    fail(endpoints, "a", 4, now=NOW + 30.0)
    assert left_out(endpoints, NOW + 30.0) == ""


@pytest.mark.parametrize(
    ("names", "percent", "ejected"),
    [("ab", 50, 1), ("ab", 100, 2), ("abc", 50, 1), ("abc", 67, 2), ("abcd", 50, 2), ("abcdefghij", 10, 1),
     ("abcdefghij", 5, 1), ("abcdefghij", 39, 3), ("abc", 0, 0), ("a", 100, 0)],
)  # fmt: skip
def test_u03_never_more_than_max_ejection_percent_but_one_always(
    names: str, percent: int, ejected: int
) -> None:
    endpoints = of(names, rule=OutlierDetection(max_ejection_percent=percent))
    fail(endpoints, names)
    assert len(left_out(endpoints, NOW)) == ejected


def test_u03_one_that_could_not_be_ejected_is_when_another_is_back() -> None:
    endpoints = of("ab")
    fail(endpoints, "ab")
    assert left_out(endpoints, NOW) == "a"
    fail(endpoints, "b", 1, now=NOW + 30.0)
    assert left_out(endpoints, NOW + 30.0) == "b"


def test_u03_where_all_are_left_out_all_are_used() -> None:
    endpoints = of("ab", rule=OutlierDetection(max_ejection_percent=100))
    fail(endpoints, "ab")
    tried: list[Endpoint] = []
    for _ in range(2):
        endpoints.choose(tried, NOW)
    assert set(map(name, tried)) == {"a", "b"}


def test_u03_a_hedge_goes_to_the_same_endpoint_again_rather_than_to_one_that_is_ejected() -> None:
    """Of two replicas one is broken: a hedge to it would be no hedge."""
    endpoints = of("ab")
    fail(endpoints, "a")
    assert [chosen(endpoints, "b") for _ in range(3)] == ["b"] * 3


def test_u03_without_outlier_detection_none_is_ejected() -> None:
    endpoints = of("ab", rule=None)
    fail(endpoints, "a", 100)
    assert left_out(endpoints, NOW) == ""


# -- addresses that change (U04)


def test_u04_what_is_known_of_an_address_that_stays_is_kept() -> None:
    endpoints = of("abc")
    fail(endpoints, "b")
    before = {name(one): one for one in endpoints.all}
    endpoints.replace(TARGET, [v4("d"), v4("b"), v4("c")])
    assert [name(one) for one in endpoints.all] == ["d", "b", "c"]
    assert endpoints.all[1:] == [before["b"], before["c"]]
    assert [one.is_current for one in before.values()] == [False, True, True]
    assert left_out(endpoints, NOW) == "b"
    assert {chosen(endpoints) for _ in range(4)} == {"c", "d"}


def test_u04_an_address_that_was_lost_and_is_back_starts_afresh() -> None:
    endpoints = of("ab")
    fail(endpoints, "a")
    endpoints.replace(TARGET, [v4("b")])
    endpoints.replace(TARGET, [v4("a"), v4("b")])
    assert left_out(endpoints, NOW) == ""


def test_u04_an_address_that_was_tried_lost_and_is_back_was_tried() -> None:
    endpoints = of("abc")
    tried = named(endpoints, "ab")
    endpoints.replace(TARGET, [v4("c")])
    endpoints.replace(TARGET, [v4("a"), v4("b"), v4("c")])
    assert [name(endpoints.choose(tried, NOW)) for _ in range(2)] == ["c", "a"]
    endpoints.replace(TARGET, [v4("d"), v4("e")])
    assert {name(endpoints.choose(tried, NOW)) for _ in range(2)} == {"d", "e"}


def test_u04_a_name_that_moves_leaves_other_names_alone() -> None:
    endpoints = Endpoints((TARGET, OTHER), "round_robin", None)
    endpoints.replace(TARGET, [v4("a")])
    endpoints.replace(OTHER, [v4("b")])
    (_, other) = endpoints.all
    endpoints.replace(TARGET, [v4("c")])
    assert endpoints.all[1] is other
    assert other.is_current
