"""Figures as `/status.json` gives them: rounded, and None of nothing."""

from collections.abc import Sequence

from hedgerow.telemetry.snapshot import quantile_s


def quantile_ms(share: float, bounds_s: Sequence[float], counts: Sequence[int]) -> float | None:
    """Estimate a quantile in milliseconds, to one digit (`quantile_s`)."""
    seconds = quantile_s(share, bounds_s, counts)
    return None if seconds is None else round(seconds * 1000, 1)


def rate(part: int, whole: int) -> float | None:
    """Return a share to four digits; None of nothing."""
    return round(part / whole, 4) if whole else None


def ratio(part: int, whole: int) -> float | None:
    """Return how many there are of one for each of the other, to two digits; None of nothing."""
    return round(part / whole, 2) if whole else None


def per_s(number: int, span_s: float) -> float:
    """Return a rate per second to one digit."""
    return round(number / span_s, 1) if span_s else 0.0
