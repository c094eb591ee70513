"""The page `/status` in a tab of a real Chromium, for tests of it; and how it should write values."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, TypeAlias

import pytest
from playwright.sync_api import Browser, Error, Page, Route, ViewportSize, expect, sync_playwright

from support.tools import tool

DESKTOP: Final[ViewportSize] = {"width": 1240, "height": 900}
PHONE: Final[ViewportSize] = {"width": 360, "height": 740}
STATUS_JSON: Final = re.compile(r"/status\.json(\?route=[^&]*)?$")
"""What the page shows; not its plans."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a Chromium."""
    program = tool("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])  # CI is root
        yield chromium
        chromium.close()


class Shown:
    """The page in a tab, and all that it asked for and complained about."""

    def __init__(
        self, browser: Browser, url: str, *, scheme: Any = "light", viewport: ViewportSize = DESKTOP
    ) -> None:
        """`url` is the admin port's."""
        self.page: Page = browser.new_page(color_scheme=scheme, viewport=viewport)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.statuses: list[dict[str, Any]] = []
        self.url = url
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, status: dict[str, Any] | None = None, query: str = "") -> Page:
        """Show the page; with `status` in place of the gateway's own, if given."""

        def pass_on(route: Route) -> None:
            with suppress(Error):  # the page, or the gateway, was closed meanwhile
                if status is None:
                    answer = route.fetch()
                    self.statuses.append(answer.json())
                    route.fulfill(response=answer)
                else:
                    self.statuses.append(status)
                    route.fulfill(json=status)

        self.page.route(STATUS_JSON, pass_on)
        self.page.goto(self.url + "/status" + query)
        expect(self.page.locator("#verdict")).not_to_have_attribute("data-state", "loading")
        return self.page


@pytest.fixture
def show(browser: Browser) -> Iterator[Callable[..., Shown]]:
    """Return what makes a tab for a gateway."""
    shown: list[Shown] = []

    def start(url: str, **how: Any) -> Shown:
        shown.append(Shown(browser, url, **how))
        return shown[-1]

    yield start
    for one in shown:
        one.page.unroute(STATUS_JSON)
        one.page.close()


Show: TypeAlias = Callable[..., Shown]


def written(value: Any, form: str) -> str:
    """Write a value as the page should: the same rules, written a second time."""
    if value is None:
        return "\N{EN DASH}"
    match form:
        case "text" | "count":
            return str(value)
        case "plain":
            return f"{value:.2f}"
        case "per_s":
            return f"{value:.1f} /s"
        case "s":
            return f"{int(value + 0.5)} s"
        case "ms":
            if value >= 10_000:
                return f"{value / 1000:.1f} s"
            return f"{int(value + 0.5) if value >= 100 else value:g} ms"
        case "percent":
            tenths = int(value * 1000 + 0.5)
            return f"{(min(max(tenths, 1), 999) if 0 < value < 1 else tenths) / 10:.1f} %"
    raise AssertionError(form)


def at(status: Any, path: str) -> Any:
    """Return what is at a path like `hedging.fired`."""
    for name in path.split("."):
        status = status[name]
    return status


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours like `rgb(1, 2, 3)` (WCAG 2.1, relative luminance)."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        red, green, blue = [
            part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        ]
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def assert_legible(shown: Shown, *, dark: bool) -> None:
    """Check that nothing is cut, touches what is beside it, or has too little contrast."""
    page = shown.page
    width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1], "nothing to scroll sideways"
    cut = page.evaluate(
        "[...document.querySelectorAll('h2, h3, p, dt, dd, td, th')]"
        ".filter(e => e.scrollWidth > e.clientWidth + 1 && !e.closest('.uplot')).map(e => e.textContent)"
    )
    assert cut == []
    touching = page.evaluate(
        "() => { const ink = (cell) => { const range = document.createRange(); range.selectNodeContents(cell);"
        " return range.getBoundingClientRect(); };"
        " return [...document.querySelectorAll('td + td, th + td, th:not(:has(.hidden)) + th')].filter(cell => {"
        " const [one, next] = [ink(cell.previousElementSibling), ink(cell)];"
        " return one.width && next.width && next.left < one.right + 4; }).map(cell => cell.textContent); }"
    )
    assert touching == []
    texts = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4, p, dt, dd, td, th, a, button, label, summary span')].map(e => {"
        " let back = e; while (getComputedStyle(back).backgroundColor === 'rgba(0, 0, 0, 0)' && back.parentElement)"
        " back = back.parentElement;"
        " return [e.textContent, getComputedStyle(e).color, getComputedStyle(back).backgroundColor]; })"
    )
    assert len(texts) > 50
    for text, ink, paper in texts:
        assert contrast(ink, paper) >= 4.5, f"{text}: {ink} on {paper} (WCAG 2.1, AA)"
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (contrast(paper, "rgb(0, 0, 0)") < 2) is dark
    assert shown.complaints == []
