"""The default behaviour of the server: latencies, and the shares of faults."""

import math
from dataclasses import dataclass
from typing import Self

from hedgerow_simulator.limits import MAX_LATENCY_MS

_ROUNDING = 1e-9
"""Shares that add up to 1 on paper may add up to a little more in binary."""


class BehaviourError(ValueError):
    """A setting outside what is accepted; the message names it, what was given and what would be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Latencies in whole ms, uniform from the first to the second; rates are shares of 1.

    The defaults are those of the reference upstream. `malformed_rate` is shared equally between `truncated`,
    `not_json` and `wrong_type`. `unique` puts a token into each success body. Raises `BehaviourError`.
    """

    latency_ms: tuple[int, int] = (100, 600)
    error_rate: float = 0.10
    too_many_rate: float = 0.02
    malformed_rate: float = 0.02
    reset_rate: float = 0.01
    hang_rate: float = 0.01
    drip_rate: float = 0.0
    seed: int = 1
    unique: bool = False

    def __post_init__(self) -> None:
        low, high = self.latency_ms
        if not 0 <= low <= high <= MAX_LATENCY_MS:
            raise BehaviourError(
                f"latency-ms: {low}-{high} is not accepted; whole ms, LOW-HIGH with 0 <= LOW <= HIGH "
                f"<= {MAX_LATENCY_MS}"
            )
        for name, rate in self.rates().items():
            if math.isnan(rate) or not 0 <= rate <= 1:
                raise BehaviourError(f"{name}: {rate} is not accepted; a share from 0 to 1")
        total = sum(self.rates().values())
        if total > 1 + _ROUNDING:
            given = ", ".join(f"{name} {rate:g}" for name, rate in self.rates().items() if rate)
            raise BehaviourError(f"the rates add up to {total:g} ({given}); together at most 1")

    @classmethod
    def faultless(cls, *, latency_ms: int | tuple[int, int] = 0, seed: int = 1, unique: bool = False) -> Self:
        """Return a behaviour with successes only, for tests that select each fault by name."""
        span = (latency_ms, latency_ms) if isinstance(latency_ms, int) else latency_ms
        return cls(
            latency_ms=span,
            error_rate=0,
            too_many_rate=0,
            malformed_rate=0,
            reset_rate=0,
            hang_rate=0,
            seed=seed,
            unique=unique,
        )

    def rates(self) -> dict[str, float]:
        """Return the rates by the names of their flags."""
        return {
            "error-rate": self.error_rate,
            "too-many-rate": self.too_many_rate,
            "malformed-rate": self.malformed_rate,
            "reset-rate": self.reset_rate,
            "hang-rate": self.hang_rate,
            "drip-rate": self.drip_rate,
        }

    def shares(self) -> dict[str, float]:
        """Return the shares by the names of their faults. The rest is `ok`."""
        malformed = self.malformed_rate / 3
        return {
            "error": self.error_rate,
            "too_many": self.too_many_rate,
            "truncated": malformed,
            "not_json": malformed,
            "wrong_type": malformed,
            "reset": self.reset_rate,
            "hang": self.hang_rate,
            "drip": self.drip_rate,
        }
