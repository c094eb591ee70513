"""The page `/status` in a real Chromium: what it shows is what `/status.json` says, without internet."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import msgspec
import pytest
from playwright.sync_api import Page, ViewportSize, expect

from hedgerow.settings import Settings
from hedgerow.status.health import HealthState, Workers
from hedgerow.status.history import History
from hedgerow.status.report import About
from hedgerow.status.report_schema import ConfigurationStatus
from hedgerow.telemetry.request_record import AttemptRecord, RequestRecord
from hedgerow.telemetry.snapshot import Snapshot
from support.process_fixtures import Serve, Simulate
from support.processes import FAULTLESS, GatewayProcess
from support.status_page import DESKTOP, PHONE, STATUS_JSON, Show, assert_legible, at, written

pytestmark = pytest.mark.slow


@pytest.fixture
def busy(serve: Serve, simulate: Simulate) -> GatewayProcess:
    """A gateway that has had requests of all kinds."""
    upstream = simulate(
        "--latency-ms=5-60", "--error-rate=0.2", "--malformed-rate=0.1", "--hang-rate=0.05", "--seed=5"
    )
    served = serve("--upstream", upstream.url, "--hedge-after-ms=30", "--loser-grace-ms=100")
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(served.status_of, ["?timeout=200", "?timeout=400", "?timeout=20", "?timeout=soon"] * 30)
        )
    served.status_when(lambda status: status["requests"]["total"] == 120)
    return served


@pytest.fixture
def idle(serve: Serve) -> GatewayProcess:
    return serve("--upstream", "http://127.0.0.1:1/", "--hedges=0")


def bars(page: Page, name: str) -> dict[str, int]:
    rows = page.locator(f"#{name} tr[data-name]")
    return {
        str(rows.nth(index).get_attribute("data-name")): int(rows.nth(index).locator(".times").inner_text())
        for index in range(rows.count())
    }


def test_each_value_shown_is_the_one_of_status_json(busy: GatewayProcess, show: Show) -> None:
    shown = show(busy.admin)
    page = shown.open()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#live")).to_have_text("paused")
    status = shown.statuses[-1]
    values = page.locator("[data-value]").evaluate_all(
        "elements => elements.map(e => [e.dataset.value, e.dataset.format, e.textContent])"
    )
    assert len(values) > 30
    for path, form, text in values:
        assert text == written(at(status, path), form), path
    assert page.locator("#verdict").get_attribute("data-state") == status["verdict"]["state"]
    assert bars(page, "failures") == status["attempts"]["failures"]
    assert bars(page, "outcomes") == status["requests"]["by_outcome"]
    assert set(status["requests"]["by_outcome"]) >= {"success", "out_of_time", "bad_timeout"}
    charts = page.locator("[role=img]")
    expect(charts).to_have_count(7)
    for index in range(7):
        label = charts.nth(index).get_attribute("aria-label")
        assert label
        assert "undefined" not in label
    success_by = page.locator("#success-by").get_attribute("aria-label") or ""
    assert written(status["hedging"]["without_hedging"]["success_rate"], "percent") in success_by
    drawn = page.evaluate(
        "import('/status/charts.js').then(({ charts }) => [charts['success-by'].data, charts.rates.data])"
    )
    assert drawn[0][1][1:] == status["hedging"]["with_hedging"]["success_by"][: len(drawn[0][1]) - 1]
    assert drawn[0][2][1:] == status["hedging"]["without_hedging"]["success_by"][: len(drawn[0][2]) - 1]
    assert drawn[1][1:] == [
        status["series"][name] for name in ("request_success_rate", "attempt_success_rate")
    ]

    items = page.locator("#recent > li")
    assert items.count() == len(status["recent"]) == 25
    for index, request in enumerate(status["recent"]):
        item = items.nth(index)
        assert item.locator(".id").inner_text() == request["request_id"]
        assert item.locator(".code").inner_text() == request["code"]
        assert item.locator(".took").inner_text() == written(request["took_ms"], "ms")
        assert item.locator("svg rect").count() == len(request["attempts"])
    assert shown.complaints == []


def test_it_is_live_and_says_so_when_it_is_not(idle: GatewayProcess, show: Show) -> None:
    shown = show(idle.admin)
    page = shown.open()
    expect(page.locator("#live")).to_have_text("live, each second")
    assert idle.status_of() == 502
    expect(page.locator("#outcomes tr[data-name=all_failed] .times")).to_have_text("1")
    expect(page.locator("#recent > li")).to_have_count(1)
    page.unroute(STATUS_JSON)
    idle.process.terminate()
    expect(page.locator("#live")).to_contain_text("✕ no answer from the gateway since")
    assert "asked" not in page.title()


def test_it_asks_only_the_gateway_and_allows_no_more(idle: GatewayProcess, show: Show) -> None:
    shown = show(idle.admin)
    page = shown.open()
    assert {urlsplit(url).netloc for url in shown.asked} == {urlsplit(idle.admin).netloc}
    policy = page.request.get(idle.admin + "/status").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    blocked = (
        "window.ran = false; const s = document.createElement('script'); s.textContent = 'window.ran = true';"
    )
    assert page.evaluate(blocked + "document.head.append(s); window.ran") is False
    assert "Content Security Policy" in " ".join(shown.complaints)
    for name in ("main.js", "format.js", "charts.js", "requests.js", "status.css", "index.html"):
        source = (Path(__file__).parents[2] / "src/hedgerow/status/page" / name).read_text()
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", source)
        assert "style=" not in source


def a_request(request_id: str, code: str = "success", route: str = "/api/smart") -> RequestRecord:
    attempts = [
        AttemptRecord(1, 0.1, 120.0, "status_5xx"),
        AttemptRecord(2, 300.0, 80.0, "success"),
        AttemptRecord(3, 300.0, None, "pending", loser=True),
    ]
    return RequestRecord(request_id, route, code, 1_700_000_000.0, 380.2, 797.0, 2, attempts)


def a_status(
    counts: Snapshot,
    *recent: RequestRecord,
    started_s: float = 60.0,
    workers: Workers = Workers(1, 1),  # noqa: B008
    configuration: ConfigurationStatus = ConfigurationStatus(),  # noqa: B008
) -> dict[str, Any]:
    """Return `/status.json` of a gateway that has run for `started_s`, and counted `counts` in the last second."""
    about = About.of(Settings(upstream="http://127.0.0.1:1/"), configuration)
    history = History(about)
    history.sample(Snapshot(), 101.0 - started_s)
    history.sample(Snapshot(), 100.0)
    history.sample(counts, 101.0)
    status = history.status(workers, list(recent), counts, now=101.0, utc_offset_s=1_700_000_000.0)
    shown: dict[str, Any] = json.loads(msgspec.json.encode(status))
    return shown


STATES = {
    HealthState.HEALTHY: (
        Snapshot(attempts={"1": {"success": 90, "reset": 10}}, requests={"success": 100}),
        60.0,
    ),
    HealthState.DEGRADED: (
        Snapshot(attempts={"1": {"success": 70, "reset": 30}}, requests={"success": 100}),
        60.0,
    ),
    HealthState.FAILING: (Snapshot(attempts={"1": {"reset": 100}}, requests={"all_failed": 100}), 60.0),
    HealthState.STARTING: (
        Snapshot(attempts={"1": {"success": 3, "reset": 2}}, requests={"success": 3}),
        4.0,
    ),
    HealthState.UNKNOWN: (Snapshot(), 60.0),
}


def test_each_state_has_a_word_a_sign_and_a_colour_of_its_own(idle: GatewayProcess, show: Show) -> None:
    seen: dict[str, set[str]] = {"word": set(), "sign": set(), "title": set(), "colour": set()}
    for state, (counts, started_s) in STATES.items():
        page = show(idle.admin).open(a_status(counts, started_s=started_s))
        verdict = page.locator("#verdict")
        expect(verdict).to_have_attribute("data-state", state)
        assert verdict.locator("h2").inner_text().lower() == state
        seen["word"].add(verdict.locator("h2").inner_text())
        seen["sign"].add(str(verdict.locator(".mark").get_attribute("d")))
        seen["title"].add(page.title())
        seen["colour"].add(verdict.locator("h2").evaluate("e => getComputedStyle(e).color"))
    assert {name: len(values) for name, values in seen.items()} == dict.fromkeys(seen, len(STATES))


def test_the_verdict_on_the_gateway_is_shown_apart_when_there_is_something_wrong(
    idle: GatewayProcess, show: Show
) -> None:
    counts = Snapshot(
        attempts={"1": {"success": 95, "reset": 5}},
        requests={"success": 95, "overloaded": 905},
        shed={"rate_limit": 905},
    )
    page = show(idle.admin).open(a_status(counts))
    expect(page.locator("#verdict h2")).to_have_text("healthy")
    expect(page.locator("#gateway")).to_have_text(
        re.compile(
            r"The gateway itself is degraded\.\s+90.5 % of requests were rejected in the last 1 s: overloaded\."
        )
    )
    page = show(idle.admin).open(a_status(STATES[HealthState.HEALTHY][0]))
    expect(page.locator("#verdict h2")).to_have_text("healthy")
    expect(page.locator("#gateway")).to_be_hidden()


def test_a_configuration_that_is_not_in_effect_is_shown(idle: GatewayProcess, show: Show) -> None:
    counts, _ = STATES[HealthState.HEALTHY]
    section = show(idle.admin).open(a_status(counts)).locator("#configuration")
    expect(section).to_be_hidden()
    rejected = ConfigurationStatus(1.0, "'/h.toml', line 3: port: 0.5 is not accepted; give a <b>", [])
    section = show(idle.admin).open(a_status(counts, configuration=rejected)).locator("#configuration")
    expect(section).to_have_text(
        "The configuration file was rejected, nothing of it is in effect. "
        "'/h.toml', line 3: port: 0.5 is not accepted; give a <b>."
    )
    waiting = ConfigurationStatus(1.0, None, ["'/h.toml', line 3: port", "--host, not given any more"])
    section = show(idle.admin).open(a_status(counts, configuration=waiting)).locator("#configuration")
    expect(section).to_have_text(
        "Changed, and in effect after a restart: '/h.toml', line 3: port; --host, not given any more."
    )


class Refusing(BaseHTTPRequestHandler):
    """An upstream that wants a credential."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_f10_a_status_of_the_upstream_is_shown_by_its_number(serve: Serve, show: Show) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        served = serve("--upstream", f"http://127.0.0.1:{server.server_port}/", "--hedge-after-ms=1")
        assert {served.status_of(request_id="mine") for _ in range(10)} == {502}
        page = show(served.admin).open()
        expect(page.locator("#verdict h2")).to_have_text("failing")
        expect(page.locator("#verdict")).to_contain_text("most by status_401")
        assert set(bars(page, "failures")) == {"status_401"}
        page.locator("#recent summary").first.click()
        expect(page.locator("#recent details[open]")).to_contain_text("status_other (status 401)")
        server.shutdown()


def test_f9_clients_with_short_timeouts_do_not_make_the_upstream_degraded(
    serve: Serve, simulate: Simulate, show: Show
) -> None:
    upstream = simulate("--latency-ms=100-300", *FAULTLESS)
    served = serve("--upstream", upstream.url, "--hedges=0")
    with ThreadPoolExecutor(20) as pool:
        assert 504 in set(pool.map(served.status_of, ["?timeout=150"] * 60))
    served.status_when(lambda status: status["attempts"]["total"] == 60)
    page = show(served.admin).open()
    expect(page.locator("#verdict h2")).to_have_text("healthy")
    expect(page.locator("#verdict")).to_contain_text("requests ran out of their own timeout")
    expect(page.locator("#gateway")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_is_legible_in_light_and_dark_at_any_width(
    idle: GatewayProcess, show: Show, scheme: str, viewport: ViewportSize
) -> None:
    records = a_request("a" * 128), a_request("b", "out_of_time")
    for counts, started_s in STATES.values():
        shown = show(idle.admin, scheme=scheme, viewport=viewport)
        status = a_status(counts, *records, started_s=started_s, workers=Workers(2, 1))
        for with_or_without in ("with_hedging", "without_hedging"):
            status["hedging"][with_or_without]["success_rate"] = 0.889  # as wide as it gets
        shown.open(status)
        assert_legible(shown, dark=scheme == "dark")


def test_it_can_be_used_by_keyboard_alone(idle: GatewayProcess, show: Show) -> None:
    assert idle.status_of(request_id="mine") == 502
    shown = show(idle.admin)
    page = shown.open()
    expect(page.locator("#recent > li")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Pause")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#plan-window")).to_be_focused()
    page.keyboard.press("Tab")
    search = page.get_by_label("Find by X-Request-Id")
    expect(search).to_be_focused()
    page.keyboard.type("no-such-id")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_contain_text("Not found")
    expect(page.locator("#recent > li")).to_have_count(0)
    search.fill("mine")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_have_text("1 found.")
    expect(page.locator("#recent details[open] td").first).to_have_text("1")
    for name in ("Find", "Show all"):
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name=name)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_have_text("")
    expect(search).to_be_focused()
    for _ in range(2):  # past Find; Show all is gone again
        page.keyboard.press("Tab")
    expect(page.locator("#recent summary")).to_be_focused()
    expect(page.locator("#recent details")).to_have_attribute("open", "")
    page.keyboard.press("Enter")
    expect(page.locator("#recent details")).not_to_have_attribute("open", "")
    page.keyboard.press("Enter")
    expect(page.locator("#recent details")).to_have_attribute("open", "")
    outline = page.locator("#recent summary").evaluate("e => getComputedStyle(e).outlineStyle")
    assert outline == "solid", "the focus is seen"


def test_a_search_that_fails_says_why(idle: GatewayProcess, show: Show) -> None:
    page = show(idle.admin).open()
    lookup = re.compile(r"/status\.json\?request_id=")
    page.route(lookup, lambda route: route.fulfill(status=503, json={"detail": "try again later"}))
    page.get_by_label("Find by X-Request-Id").fill("an-id")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_have_text("try again later")
    page.route(lookup, lambda route: route.abort())
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_have_text("No answer from the gateway.")


def test_what_is_open_stays_open_while_the_page_lives_on(idle: GatewayProcess, show: Show) -> None:
    first, second = a_request("first"), a_request("second")
    status = a_status(STATES[HealthState.HEALTHY][0], first)
    shown = show(idle.admin)
    page = shown.open(status)
    page.locator("#recent summary").click()
    status["recent"] = [*a_status(Snapshot(), second, first)["recent"]]
    status["recent"][1]["attempts"][2] |= {"took_ms": 400.0, "outcome": "reset"}
    expect(page.locator("#recent > li")).to_have_count(2)
    expect(page.locator("#recent details[open] .id")).to_have_text("first")
    expect(page.locator("#recent details[open] tbody tr").nth(2)).to_contain_text("reset, after the race")
    expect(page.locator("#recent details[open] summary")).to_be_focused()


@pytest.mark.parametrize(("scheme", "viewport"), [("light", DESKTOP), ("dark", PHONE)])
def test_two_handles_choose_a_plan(
    serve: Serve, simulate: Simulate, show: Show, scheme: str, viewport: ViewportSize
) -> None:
    """By keyboard: what is shown of a plan is what `/status.json?plan=hour` predicts of it."""
    upstream = simulate("--latency-ms=5-60", *FAULTLESS, "--seed=5")
    served = serve("--upstream", upstream.url, "--hedge-after-ms=30", "--hedges=1")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(served.status_of, ["?timeout=5000"] * 240))
    with urlopen(f"{served.admin}/status.json?plan=hour", timeout=5) as answer:
        plan = json.load(answer)
    shown = show(served.admin, scheme=scheme, viewport=viewport)
    page = shown.open()
    expect(page.locator("#plan-body")).to_be_visible()
    expect(page.locator("#plan-delay-value")).to_have_text("30 ms")
    expect(page.locator("#plan-hedges-value")).to_have_text("1 hedge")
    drawn, place = (
        page.locator("#plan-chart .u-over").bounding_box(),
        page.locator("#plan-chart").bounding_box(),
    )
    assert drawn
    assert place
    assert drawn["height"] > place["height"] / 2, "it fills its place from the first drawing"
    page.locator("#plan-hedges").press("ArrowRight")
    page.locator("#plan-delay").press("ArrowRight")
    delays = sorted({row["hedge_after_ms"] for row in plan["report"]["plans"]})
    delay = delays[delays.index(30) + 1]
    expect(page.locator("#plan-delay")).to_have_attribute("aria-valuetext", written(delay, "ms"))
    expect(page.locator("#plan-hedges")).to_have_attribute("aria-valuetext", "2 hedges")
    (row,) = (row for row in plan["report"]["plans"] if (row["hedge_after_ms"], row["hedges"]) == (delay, 2))
    chosen = page.locator("#plan-figures tbody td:nth-child(2)").all_inner_texts()
    assert chosen == [
        written(row["attempts"], "plain"),
        written(row["curve"][-1], "percent"),
        *(written(row[name], "ms") for name in ("p50_ms", "p90_ms", "p99_ms")),
    ]
    real = page.locator("#plan-figures tbody td:nth-child(5)").all_inner_texts()
    assert len(real) == 5
    assert written(None, "ms") not in real
    page.locator("#plan-hedges").press("Home")
    expect(page.locator("#plan-hedges-value")).to_have_text("no hedge")
    page.get_by_role("button", name="As set").click()
    expect(page.locator("#plan-hedges-value")).to_have_text("1 hedge")
    page.locator("#plan-window").select_option("minute")
    expect(page.locator("#plan-verdict")).to_contain_text("edging")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert shown.complaints == []
