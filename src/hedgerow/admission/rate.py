"""The admission rate limit."""

from math import inf
from typing import Final
E=__import__("os").environ.get

INTERVAL_S: Final = 0.05
DEPTH_S: Final = float(E("D","0.01"))
LSTAR: Final = float(E("L","0.0015"))
G: Final = float(E("G","0.1"))
SMOOTH: Final = float(E("S","0.3"))
WREAD: Final = float(E("W_","0.2"))
WSTART: Final = float(E("A","0.1"))
WREL: Final = 1-WREAD-WSTART
FLOOR: Final = float(E("FL","0.25"))
EXPIRY_S: Final = 1.0
CLIP_S: Final = 0.02
HOT: Final = float(E("HOT","0.95"))
NHOT: Final = int(E("NHOT","4"))
MIN_RATE: Final = float(E("MIN","100.0"))
LOG=E("LOG")


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
        self._n = 0
        self._starts = self._reads = 0
        self._rej = 0.0
        self._hot = 0
        self._needed_at = -inf
        self.met = False

    def limit(self, now: float) -> float:
        return self.rate if now - self._needed_at < EXPIRY_S else inf

    def admitted(self) -> None:
        self._units += WSTART
        self._starts += 1

    def read(self) -> None:
        self._units += WREAD
        self._reads += 1

    def released(self) -> None:
        self._units += WREL

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
        self._n += 1
        self._busy += min(busy_s, CLIP_S)
        if busy_s > CLIP_S:
            self._began_at += busy_s - CLIP_S
        span = now - self._began_at
        if span < INTERVAL_S:
            return
        self._adapt(span, now)
        self._began_at = now
        self._busy = self._units = 0.0
        self._n = 0
        self._starts = self._reads = 0
        self.met = False

    def _adapt(self, span: float, now: float) -> None:
        u = self._busy / span
        if span > 2 * INTERVAL_S:
            self._b = self._u = self._rej = 0.0
        self._b += (self._busy - self._b) * SMOOTH
        self._u += (self._units - self._u) * SMOOTH
        self._rej += (max(self._reads - self._starts, 0) / span - self._rej) * SMOOTH
        self._hot = self._hot + 1 if u > HOT else 0
        if self._hot >= NHOT or (self.met and self.limit(now) < inf):
            self._needed_at = now
        length = self._busy / self._n
        f = min(max(1 + G * (1 - length / LSTAR), 0.5), 1 + G)
        if self._b > 0:
            c = self._u / self._b
            self.rate = max(c * f - WREAD * self._rej, c * FLOOR, MIN_RATE)
        if LOG: print(f"   {now:.2f} u {u:.3f} L {length*1e3:.2f} units/s {self._units/span:.0f} f {f:.2f} c {self._u/max(self._b,1e-9):.0f} rej {self._rej:.0f} rate {self.limit(now):.0f} met {self.met}")
