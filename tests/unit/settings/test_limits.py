import pytest

from hedgerow.settings import BadSetting, DescriptorBudget, Settings, Target, parse_target


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("http://127.0.0.1:8090/api/work", Target("http", "127.0.0.1", 8090, "/api/work"), "127.0.0.1:8090"),
        ("https://example.org", Target("https", "example.org", 443, "/"), "example.org"),
        ("http://[::1]:81/x?a=b&c", Target("http", "::1", 81, "/x?a=b&c"), "[::1]:81"),
        ("http://EXAMPLE.org:80/", Target("http", "example.org", 80, "/"), "example.org"),
    ],
)
def test_an_upstream_url_is_taken_apart(url: str, target: Target, authority: str) -> None:
    assert parse_target(url) == target
    assert parse_target(url).authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "", "embedde", "ftp://x/", "http://", "http:///x", "//x/y", "http://x:99999/", "http://x:0/", "http://x:y/",
        "http://[::1/", "http://user:word@x/", "http://x/#part", "http://x/a b", "http://x/a\r\nHost: y",
        "http://x/\x00", "http://x/ü", "http://" + "a" * 64 + "/", "http://a..b/",
    ],
)  # fmt: skip
def test_a_bad_upstream_url_is_one_line_that_names_the_setting(url: str) -> None:
    with pytest.raises(BadSetting, match="--upstream") as caught:
        parse_target(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("descriptors", [1_024, 20_000, 1_048_576])
@pytest.mark.parametrize("hedges", [0, 1, 2, 16])
def test_the_budget_never_promises_more_sockets_than_there_are(descriptors: int, hedges: int) -> None:
    budget = DescriptorBudget.of(descriptors, hedges)
    assert budget.max_in_flight >= 1
    assert budget.max_clients >= budget.max_in_flight
    assert budget.max_upstream_connections == budget.max_in_flight * (1 + hedges)
    assert budget.max_clients + budget.max_upstream_connections + DescriptorBudget.RESERVE <= descriptors


def test_two_workers_of_20_000_descriptors_serve_8_000_requests_at_once() -> None:
    assert 2 * DescriptorBudget.of(20_000, 2).max_in_flight >= 8_000


@pytest.mark.parametrize(("descriptors", "in_flight"), [(1_024, 225), (130, None), (64, None)])
def test_a_cap_that_the_descriptors_cannot_hold_is_refused(descriptors: int, in_flight: int | None) -> None:
    with pytest.raises(BadSetting, match="--max-in-flight"):
        DescriptorBudget.of(descriptors, 2, in_flight)


def test_a_default_timeout_above_the_clamp_is_refused() -> None:
    with pytest.raises(BadSetting, match="--default-timeout-ms"):
        Settings(default_timeout_ms=60_001).check()
    Settings(default_timeout_ms=60_000).check()
