"""The page `/status` by route, in a real Chromium: what is chosen is shown, linked, and never read as markup."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from urllib.request import urlopen

import msgspec
import pytest
from playwright.sync_api import Error, Page, ViewportSize, expect
from playwright.sync_api import Route as Asked

from hedgerow.settings import Settings, parse_target
from hedgerow.settings.routes import HedgeRule, QuantileDelay, RouteRule, UpstreamRule
from hedgerow.status.health import Workers
from hedgerow.status.history import History
from hedgerow.status.report import About
from hedgerow.status.report_schema import ConfigurationStatus
from hedgerow.telemetry.endpoint_counts import EndpointCounts
from hedgerow.telemetry.request_record import AttemptRecord, RequestRecord
from hedgerow.telemetry.snapshot import RouteCounts, Snapshot, add
from support.histograms import histogram
from support.process_fixtures import Serve, Simulate
from support.processes import FAULTLESS, GatewayProcess, fetch
from support.status_page import DESKTOP, PHONE, STATUS_JSON, Show, Shown, assert_legible, written

pytestmark = pytest.mark.slow

FILE = """
[upstreams.quick]
endpoints = ["{quick}"]
[upstreams.slow]
endpoints = ["{slow}"]
[[routes]]
path = "/v1/search"
rewrite = "/api/work"
upstream = "quick"
hedge = {{ after = "30ms", max_hedges = 1 }}
[[routes]]
name = "prices & more"
path = "/v1/prices"
rewrite = "/api/work"
upstream = "slow"
hedge = {{ mode = "observe", sample = 0.5, after = "90ms", max_hedges = 2 }}
"""
PRICES = quote("prices & more")


@pytest.fixture
def served(serve: Serve, simulate: Simulate, tmp_path: Path) -> GatewayProcess:
    """A gateway of two routes, of which one has had 240 requests and the other 120."""
    quick = simulate("--latency-ms=5-60", *FAULTLESS, "--seed=5")
    slow = simulate("--latency-ms=60-120", *FAULTLESS, "--seed=6")
    file = tmp_path / "h.toml"
    file.write_text(FILE.format(quick=f"http://127.0.0.1:{quick.port}", slow=f"http://127.0.0.1:{slow.port}"))
    gateway = serve("--config", str(file))
    root = f"http://{gateway.authority}"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fetch, [f"{root}/v1/search", f"{root}/v1/search", f"{root}/v1/prices"] * 120))
    assert fetch(f"{root}/nothing")[0] == 404
    gateway.status_when(lambda status: status["requests"]["total"] == 361)
    return gateway


def plan_of(gateway: GatewayProcess, route: str) -> dict[str, Any]:
    with urlopen(f"{gateway.admin}/status.json?plan=hour&route={route}", timeout=5) as answer:
        plan: dict[str, Any] = json.load(answer)
    return plan


def test_all_routes_are_shown_and_one_is_chosen_by_keyboard(served: GatewayProcess, show: Show) -> None:
    shown = show(served.admin)
    page = shown.open()
    expect(page.locator("#route")).to_have_value("all")
    assert page.locator("#route option").all_inner_texts() == ["all", "/v1/search", "prices & more"]
    rows = page.locator("#routes-table tbody tr")
    assert [rows.nth(index).locator("a").inner_text() for index in (0, 1)] == ["/v1/search", "prices & more"]
    expect(rows.nth(1).locator("td").nth(5)).to_have_text("90 ms, observed")
    expect(page.locator("#unrouted")).to_have_text("Requests that no route has: 1 not_found.")
    expect(page.locator("#plan-verdict")).to_contain_text("Choose a route")
    expect(page.locator("#plan-body")).to_be_hidden()
    expect(page.locator("#upstreams-table tbody")).to_have_count(2)
    assert {"/v1/search", "prices & more"} >= set(page.locator("#recent .route").all_inner_texts())

    page.keyboard.press("Tab")
    expect(page.locator("#route")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page).to_have_url(f"{served.admin}/status?route={PRICES}")
    expect(page.locator("#outcomes tr[data-name=success] .times")).to_have_text("120")
    expect(page.locator("#verdict-subject")).to_have_text("Verdict on the upstream, by route prices & more")
    expect(page.locator("#routes")).to_be_hidden()
    expect(page.locator("#upstreams-table tbody")).to_have_count(1)
    expect(page.locator("#plan-delay-value")).to_have_text("90 ms")
    expect(page.locator("#plan-set")).to_contain_text("50.0 % of requests are hedged")
    assert "prices & more" in page.title()
    page.go_back()
    page.go_back()
    expect(page.locator("#routes")).to_be_visible()
    expect(page.locator("#route")).to_have_value("all")
    assert shown.complaints == []


def test_a_link_shows_its_route_and_two_handles_choose_its_plan(served: GatewayProcess, show: Show) -> None:
    plans = {name: plan_of(served, quote(name)) for name in ("/v1/search", "prices & more")}
    shown = show(served.admin)
    page = shown.open(query=f"?route={PRICES}")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#route")).to_have_value("prices & more")
    status = shown.statuses[-1]
    assert status["route"] == "prices & more"
    values = page.locator("#hedging-title ~ dl dd").all_inner_texts()
    assert values[0] == written(status["hedging"]["fired"], "count")
    expect(page.locator("#plan-body")).to_be_visible()
    page.locator("#plan-delay").press("ArrowLeft")
    page.locator("#plan-hedges").press("ArrowRight")
    for route, plan in reversed(plans.items()):
        page.locator("#route").select_option(route)
        expect(page.locator("#plan-delay-value")).to_have_text(
            written(plan["hedging"]["hedge_after_ms"], "ms") if route == "/v1/search" else re.compile("ms$")
        )
    page.locator("#plan-hedges").press("ArrowRight")
    expect(page.locator("#plan-hedges-value")).to_have_text("2 hedges")
    plan = plan_of(served, "/v1/search")
    (row,) = (row for row in plan["report"]["plans"] if (row["hedge_after_ms"], row["hedges"]) == (30, 2))
    chosen = page.locator("#plan-figures tbody td:nth-child(2)").all_inner_texts()
    assert chosen[2:] == [written(row[name], "ms") for name in ("p50_ms", "p90_ms", "p99_ms")]
    assert shown.complaints == []


def test_a_row_of_the_table_is_a_link_to_its_route(served: GatewayProcess, show: Show) -> None:
    shown = show(served.admin)
    page = shown.open()
    link = page.get_by_role("link", name="prices & more")
    assert link.get_attribute("href") == f"/status?route={PRICES}"
    link.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#routes")).to_be_hidden()
    expect(page.locator("#route")).to_be_focused()
    expect(page.locator("#recent .note").first).to_contain_text("route prices & more")
    assert shown.complaints == []


def test_a_route_that_is_gone_is_said(served: GatewayProcess, show: Show) -> None:
    page = show(served.admin).open(query="?route=%3Cb%3Egone")
    expect(page.locator("#no-such-route")).to_have_text("There is no route <b>gone. All routes are shown.")
    expect(page.locator("#routes")).to_be_visible()
    expect(page).to_have_url(f"{served.admin}/status")


def test_where_there_is_one_route_there_is_nothing_to_choose(serve: Serve, show: Show) -> None:
    served = serve("--upstream", "http://127.0.0.1:1/", "--hedges=0")
    assert served.status_of() == 502
    page = show(served.admin).open()
    expect(page.locator("#recent > li")).to_have_count(1)
    for name in ("route-choice", "routes", "upstreams", "load-of-all", "no-such-route"):
        expect(page.locator(f"#{name}")).to_be_hidden()
    expect(page.locator("#recent .route")).to_be_hidden()
    expect(page.locator("#verdict-subject")).to_have_text("Verdict on the upstream")


# -- without a gateway's own figures


def several(*names: str) -> Callable[[str | None], dict[str, Any]]:
    """Return what answers `/status.json` of a gateway with these routes, by the name of one or for all."""
    rules = tuple(
        RouteRule(
            name=name, path=f"/{number}", upstream=f"u{number % 2}",
            hedge=HedgeRule(after=QuantileDelay(quantile=0.95, min_s=0.0, max_s=1.0)),
        )
        for number, name in enumerate(names)
    )  # fmt: skip
    target = parse_target("http://example.test/base")
    settings = Settings(
        routes=rules, upstreams=tuple(UpstreamRule(name=name, endpoints=(target,)) for name in ("u0", "u1"))
    )
    routes = {}
    total = RouteCounts()
    for number, rule in enumerate(rules):
        counts = RouteCounts(
            requests={"success": 100}, request_duration={"success": histogram(*[0.2] * 100)},
            attempts={"1": {"success": 100, "reset": 60 * number}}, attempt_duration={"success": histogram(0.2)},
            hedges={"fired": 20}, hedge_delay_s=0.25, workers=1, first_attempt_duration={"success": histogram(0.2)},
        )  # fmt: skip
        routes[rule.name] = {rule.upstream: counts}
        total = add(total, counts)
    counts = Snapshot.of(
        total, routes=routes,
        endpoints={"u0": {"http://example.test/base 192.0.2.1:80": EndpointCounts(2, 5, 1, 0)}},
    )  # fmt: skip
    history = History(About.of(settings, ConfigurationStatus()))
    for at in (70.0, 100.0):
        history.sample(Snapshot(), at)
    history.sample(counts, 101.0)

    def answer(route: str | None) -> dict[str, Any]:
        attempts = [AttemptRecord(1, 0.1, 120.0, "success")]
        records = [
            RequestRecord("a" * 128, name, "success", 1_700_000_000.0, 120.2, 797.0, 1, attempts)
            for name in names
        ]
        status = history.status(
            Workers(2, 2), records, counts, now=101.0, utc_offset_s=1_700_000_000.0, route=route
        )
        shown: dict[str, Any] = json.loads(msgspec.json.encode(status))
        return shown

    return answer


def open_with(shown: Shown, answer: Callable[[str | None], dict[str, Any]], query: str = "") -> Page:
    """Show the page with these answers in place of the gateway's own."""

    def reply(asked: Asked) -> None:
        with suppress(Error):  # the page was closed meanwhile
            route = re.search(r"\?route=(.*)", asked.request.url)
            asked.fulfill(json=answer(None if route is None else unquote(route[1])))

    page = shown.page
    page.route(STATUS_JSON, reply)
    page.goto(f"{shown.url}/status{query}")
    expect(page.locator("#verdict")).not_to_have_attribute("data-state", "loading")
    return page


@pytest.fixture
def idle(serve: Serve) -> GatewayProcess:
    return serve("--upstream", "http://127.0.0.1:1/", "--hedges=0")


MARKUP = (
    "<img src=x onerror='window.ran = 1'>",
    "</option></select><script>window.ran = 1</script>",
    "javascript:window.ran=1//'&amp;?route=x#y",
)


def test_names_of_routes_are_text_and_never_markup(idle: GatewayProcess, show: Show) -> None:
    shown = show(idle.admin)
    page = open_with(shown, several(*MARKUP))
    assert page.locator("#route option").all_inner_texts() == ["all", *MARKUP]
    assert page.locator("#routes-table a").all_inner_texts() == list(MARKUP)
    for name in MARKUP:
        link = page.get_by_role("link", name=name, exact=True)
        assert link.get_attribute("href") == f"/status?route={quote(name, safe=chr(33) + chr(39) + '()*~')}"
        assert name in page.locator("#recent .route").all_inner_texts()
    expect(page.locator("#verdict-routes")).to_contain_text(MARKUP[2])
    assert page.locator("img, main script").count() == 0
    assert page.evaluate("window.ran") is None
    assert shown.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_several_routes_are_legible_in_light_and_dark_at_any_width(
    idle: GatewayProcess, show: Show, scheme: str, viewport: ViewportSize
) -> None:
    shown = show(idle.admin, scheme=scheme, viewport=viewport)
    open_with(shown, several("/v1/search", "/" + "long-" * 25, "/v1/prices"))
    assert_legible(shown, dark=scheme == "dark")
    states = shown.page.locator("#routes-table .state")
    assert states.evaluate_all("all => all.map(e => e.dataset.state)") == ["healthy", "degraded", "failing"]
    assert len(set(states.evaluate_all("all => all.map(e => getComputedStyle(e).color)"))) == 3


def test_a_row_that_has_the_focus_keeps_it_while_the_page_lives_on(idle: GatewayProcess, show: Show) -> None:
    answer, failing = several("/a", "/b"), [False]

    def changing(route: str | None) -> dict[str, Any]:
        status = answer(route)
        if failing[0]:
            status["routes"][0]["verdict"]["state"] = "failing"
        return status

    page = open_with(show(idle.admin), changing)
    link = page.get_by_role("link", name="/a")
    link.focus()
    failing[0] = True
    expect(page.locator("#routes-table .state").first).to_have_attribute("data-state", "failing")
    expect(link).to_be_focused()
