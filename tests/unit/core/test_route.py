import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.core.hedging import HedgePlan
from hedgerow.core.outcomes import Attempt, AttemptHandle, AttemptSender
from hedgerow.core.route import Route, RouteTable
from hedgerow.core.timeout_param import InvalidTimeout
from support.attempts import make_request
from support.routes import head_of


class Upstream(AttemptSender):
    def send(self, attempt: Attempt) -> AttemptHandle:
        raise NotImplementedError


PLAN = HedgePlan(0.3, 2)


def route(name: str = "r", *methods: bytes, **more: object) -> Route:
    arguments = {
        "default_timeout_ms": 1_000,
        "max_timeout_ms": 9_000,
        "methods": methods or (b"GET",),
        **more,
    }
    return Route(name, Upstream(), PLAN, **arguments)  # type: ignore[arg-type]


def table(*places: str) -> RouteTable:
    """Make a route of each path, or of each prefix where there is a `*` at its end."""
    paths = [b"" if place.endswith("*") else place.encode() for place in places]
    prefixes = [place[:-1].encode() if place.endswith("*") else b"" for place in places]
    return RouteTable([route(place) for place in places], paths, prefixes)


def matched(routes: RouteTable, path: bytes) -> str:
    found = routes.match(path)
    return "" if found is None else found.by_method[b"GET"].name


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (b"/v1/search", "/v1/search"), (b"/v1/search/", "/v1*"), (b"/v1", "/v1*"), (b"/v1/", "/v1*"),
        (b"/v1/a/b", "/v1/a/*"), (b"/v1/a", "/v1/a/*"), (b"/v1/ab", "/v1*"), (b"/v12", ""), (b"/", ""), (b"*", ""),
        (b"", ""), (b"/v1/a/b/c/d/e/f", "/v1/a/*"), (b"//v1", ""),
    ],
)  # fmt: skip
def test_r01_a_path_comes_before_the_longest_prefix_on_a_border_of_segments(path: bytes, place: str) -> None:
    assert matched(table("/v1*", "/v1/search", "/v1/a/*"), path) == place


def test_r01_a_prefix_of_one_slash_has_every_path() -> None:
    assert matched(table("/*", "/a"), b"/b/c") == "/*"
    assert matched(table("/*", "/a"), b"/a") == "/a"
    assert matched(table("/*"), b"*") == ""


PATHS = st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(st.lists(PATHS, min_size=1, max_size=5, unique=True), PATHS)
def test_r01_the_match_is_that_of_a_search_through_all_prefixes(prefixes: list[str], path: str) -> None:
    def has(prefix: str) -> bool:
        bare = prefix.rstrip("/")
        return path == bare or path.startswith(bare + "/")

    longest = max((prefix.rstrip("/") for prefix in prefixes if has(prefix)), key=len, default=None)
    found = matched(table(*[prefix + "*" for prefix in prefixes]), path.encode())
    assert (found[:-1].rstrip("/") if found else None) == longest


def test_r01_methods_come_after_the_path() -> None:
    routes = RouteTable(
        [route("read", b"GET", b"HEAD"), route("write", b"POST", b"GET"), route("rest", b"PUT")],
        [b"/a", b"/a", b""], [b"", b"", b"/"],
    )  # fmt: skip
    found = routes.match(b"/a")
    assert found is not None
    assert {method: one.name for method, one in found.by_method.items()} == {
        b"GET": "read", b"HEAD": "read", b"POST": "write",
    }  # fmt: skip
    assert found.allow == b"GET, HEAD, POST"


@pytest.mark.parametrize(
    ("query", "fields", "timeout_ms"),
    [
        (b"", [], 1_000),
        (b"t=40", [], 40),
        (b"t=40", [(b"X-Timeout", b"30"), (b"grpc-timeout", b"35m")], 30),
        (b"t=40", [(b"x-timeout", b"50")], 40),
        (b"", [(b"Grpc-Timeout", b"2S"), (b"x-timeout", b"99999999999999")], 2_000),
        (b"", [(b"x-other", b"1")], 1_000),
        (b"", [(b"x-timeout", b"5"), (b"x-timeout", b"4")], 4),
    ],
)
def test_r08_the_smallest_timeout_counts(
    query: bytes, fields: list[tuple[bytes, bytes]], timeout_ms: int
) -> None:
    one = route(timeout_prefix=b"t=", timeout_headers=frozenset((b"x-timeout", b"grpc-timeout")))
    assert one.timeout_ms(query, head_of(*fields)) == timeout_ms


def test_r08_a_timeout_that_is_wrong_is_so_whatever_others_say() -> None:
    one = route(timeout_prefix=b"t=", timeout_headers=frozenset((b"x-timeout",)))
    for fields in (
        [(b"x-timeout", b"a"), (b"x-timeout", b"1")],
        [(b"x-timeout", b"1"), (b"x-timeout", b"0")],
    ):
        assert isinstance(one.timeout_ms(b"t=5", head_of(*fields)), InvalidTimeout)
    assert isinstance(one.timeout_ms(b"t=x", head_of()), InvalidTimeout)


def test_r08_the_deadline_header_has_what_is_left() -> None:
    request = make_request(deadline_at=10.9)
    assert route(deadline_header=b"x-left").deadline_line(request, 10.5) == b"x-left: 400\r\n"
    assert route(deadline_header=b"grpc-timeout").deadline_line(request, 10.5) == b"grpc-timeout: 400m\r\n"
    assert route(deadline_header=b"x-left").deadline_line(request, 11.5) == b"x-left: 1\r\n"


class Delay:
    def delay_s(self, route: Route, now: float) -> float:
        assert route.delay is self
        return now / 100


def test_r09_the_hedge_delay_may_follow_what_was_seen() -> None:
    assert route().hedge_after_s(20.0) == 0.3
    assert route(delay=Delay()).hedge_after_s(20.0) == 0.2
    assert route(delay=Delay()).plan_at(20.0) == HedgePlan(0.2, 2)


def test_a_path_of_thousands_of_segments_is_looked_up_as_fast_as_its_deepest_prefix() -> None:
    looked_up: list[bytes] = []

    class Prefixes(dict[bytes, object]):
        def get(self, key: bytes, default: object = None) -> object:
            looked_up.append(key)
            return super().get(key, default)

    routes = table("/a/b*")
    routes._prefixes = Prefixes(routes._prefixes)  # type: ignore[assignment]
    assert routes.match(b"/x" * 4_000) is None
    assert len(looked_up) <= 4


@pytest.mark.parametrize(("sample", "hedged"), [(1.0, 100), (0.25, 25), (0.01, 1), (0.0, 0)])
def test_r09_a_sample_of_the_requests_is_hedged(sample: float, hedged: int) -> None:
    """Where hedging is only observed, a sample has hedges, evenly spread."""
    observed = route(sample=sample)
    assert observed.plan_varies == (sample < 1)
    plans = [observed.plan_at(20.0) for _ in range(100)]
    assert sum(plan.hedges == 2 for plan in plans) == hedged
    assert len({plan.hedge_after_s for plan in plans}) == 1
