"""The admission rate limit."""

from math import inf
from typing import Final

INTERVAL_S: Final = 0.05
TARGET: Final = 0.97
DEPTH_S: Final = 0.01
SMOOTH: Final = 0.3
ALPHA: Final = 0.3
EXPIRY_S: Final = 1.0
CLIP_S: Final = 0.02
HOT: Final = 0.95
MIN_RATE: Final = 50.0


class RateController:
    """Limits how many requests are admitted in a second."""

    def __init__(self) -> None:
        self.rate = inf
        self._tokens = 0.0
        self._token_at = 0.0
        self._began_at = 0.0
        self._busy = 0.0
        self._span = 0.0
        self._units = 0.0
        self._b = 0.0
        self._u = 0.0
        self._needed_at = -inf
        self.met = False

    def limit(self, now: float) -> float:
        return self.rate if now - self._needed_at < EXPIRY_S else inf

    def admitted(self) -> None:
        self._units += ALPHA

    def released(self) -> None:
        self._units += 1 - ALPHA

    def take(self, now: float) -> bool:
        rate = self.limit(now)
        if rate == inf:
            return True
        tokens = min(self._tokens + (now - self._token_at) * rate, max(rate * DEPTH_S, 1.0))
        self._token_at = now
        ok = tokens >= 1.0
        self._tokens = tokens - 1.0 if ok else tokens
        self.met = self.met or not ok
        return ok

    def next_at(self, now: float) -> float:
        rate = self.limit(now)
        return now if rate == inf else max(now, self._token_at + (1.0 - self._tokens) / rate)

    def record_iteration(self, busy_s: float, now: float) -> None:
        self._busy += min(busy_s, CLIP_S)
        if busy_s > CLIP_S:
            self._began_at += busy_s - CLIP_S
        span = now - self._began_at
        if span < INTERVAL_S:
            return
        self._adapt(span, now)
        self._began_at = now
        self._busy = self._units = 0.0
        self.met = False

    def _adapt(self, span: float, now: float) -> None:
        u = self._busy / span
        if span > 2 * INTERVAL_S:
            self._b = self._u = 0.0
        self._b += (self._busy - self._b) * SMOOTH
        self._u += (self._units - self._u) * SMOOTH
        if u > HOT or (self.met and self.limit(now) < inf):
            self._needed_at = now
        if self._b > 0:
            self.rate = max(TARGET * self._u / self._b, MIN_RATE)
