"""What docs/explanation/hedging.md calculates is what its formulas give."""

from collections.abc import Callable

import pytest

from docs.markdown import ROOT, table

HEDGING = ROOT / "docs" / "explanation" / "hedging.md"
COUNTED = ROOT / "docs" / "verification" / "hedging-cost.md"
HEDGE_DELAY_MS = 300


def spread(ms: float) -> float:
    """Return the share of the reference upstream's answers that take at most `ms`."""
    return min(max((ms - 100) / 500, 0.0), 1.0)


def success_by(ms: float, failures: float, hedges: int) -> float:
    """Return the share of requests with a success by `ms`, if attempts are independent."""
    first = 1 - (1 - failures) * spread(ms)
    hedge = 1 - (1 - failures) * spread(ms - HEDGE_DELAY_MS)
    return 1 - first * hedge**hedges


def asked(failures: float) -> float:
    """Return the upstream requests for each request, with two hedges."""
    return 1 + 2 * (1 - (1 - failures) * spread(HEDGE_DELAY_MS))


def reached(share: float, success: Callable[[float], float]) -> str:
    """Return the first millisecond by which a share has been reached."""
    return next((f"{ms} ms" for ms in range(2_000) if success(ms) >= share - 1e-9), "never")


def percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")


@pytest.mark.parametrize("row", table(HEDGING, "What clients gain"), ids=lambda row: row[0])
def test_success_by(row: list[str]) -> None:
    share, how = row[0].split(" %, ")
    failures, hedges = int(share) / 100, {"with hedging": 2, "without": 0}[how]

    def success(ms: float) -> float:
        return success_by(ms, failures, hedges)

    shares = [percent(success(ms)) for ms in (600, 900)]
    assert row[1:] == [*shares, reached(0.5, success), reached(0.9, success)]


@pytest.mark.parametrize("row", table(HEDGING, "What the upstream pays"), ids=lambda row: row[0])
def test_what_the_upstream_is_asked(row: list[str]) -> None:
    failures = int(row[0].split()[0]) / 100
    hedged = 1 - (1 - failures) * spread(HEDGE_DELAY_MS)
    assert row[1].endswith(f"= {hedged:.2f}")
    assert row[2] == f"1 + 2 · {hedged:.2f} = {asked(failures):.2f}"
    (run,) = (line for line in COUNTED.read_text().splitlines() if line.startswith(f"| {failures:.0%} "))
    assert row[3] == run.split("|")[4].strip()


def test_the_readme_has_the_same_figures() -> None:
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert "fails 10 % of the time" in readme
    assert f"{percent(success_by(600, 0.1, 2))} of requests succeed within 600 ms, not 90 %" in readme
    assert f"The price: {asked(0.1):.1f} upstream requests for each client request" in readme
