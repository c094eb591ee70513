"""The bare race with admission: the least that keeps an overload from wasting work.

`python bare_race_admission.py PORT UPSTREAM_URL`. Beyond `bare_race.py`: bounded waiting, backpressure on rejected
clients, one controller of the admission rate. Deadlines count from when a request is read, not from its arrival.
"""

import select
import sys
from collections import deque
from time import monotonic
from typing import Final

from bare_race import HEDGE_DELAY_S, NEVER, TIMED_OUT, Client, EventLoop, Request

# The first values that were tried. They are part of the yardstick and stay as they are.
TIMEOUT_SHARE: Final = 4  # a request waits unsent for at most this part of its timeout
PATIENCE_S: Final = 2.5  # the same without a timeout
MARGIN_S: Final = 0.004  # an answer leaves so much before the deadline
NEWEST_FIRST_AFTER_S: Final = 0.05  # the oldest has waited: the queue does not drain by itself
BACKPRESSURE_S: Final = 0.05  # a rejected client is not read
MAX_IN_FLIGHT: Final = 4500  # descriptors: each request may take four
UNLIMITED: Final = 1e9
WINDOW_S: Final = 0.05
MIN_RATE: Final = 200.0
BURST_S: Final = 0.01  # of the rate
OVERLOADED: Final = (b"503 Service Unavailable", b'{"error":"overloaded"}')


class WaitingRequest(Request):
    """A request that waits until it is admitted."""

    __slots__ = ("arrived_at", "hedge_at", "loop", "patience_s", "sent")

    def __init__(self, client: Client, timeout_ms: int) -> None:
        assert isinstance(client.loop, AdmittingEventLoop)
        self.loop = loop = client.loop
        self.client = client
        self.pending = 1
        self.hedged = self.done = self.sent = False
        self.arrived_at = loop.now
        self.deadline_at = loop.now + timeout_ms / 1000 - MARGIN_S if timeout_ms else NEVER
        self.patience_s = min(timeout_ms / 1000 / TIMEOUT_SHARE, PATIENCE_S) if timeout_ms else PATIENCE_S
        if timeout_ms:
            loop.set_timer(self.deadline_at, self)
        loop.waiting.append(self)

    def send(self) -> None:
        self.sent = True
        self.hedge_at = self.loop.now + HEDGE_DELAY_S
        self.loop.set_timer(self.hedge_at, self)
        self.loop.send_attempt(self)

    def on_timer(self, now: float) -> None:
        if self.done:
            return
        if now >= self.deadline_at:
            self.finish(*TIMED_OUT)
        elif self.sent and not self.hedged and now >= self.hedge_at:
            self.hedge()

    def finish(self, status: bytes, body: bytes) -> None:
        if self.sent:
            self.loop.in_flight -= 1
        super().finish(status, body)


class AdmittingEventLoop(EventLoop):
    """Admits at a rate that keeps the loop just below full."""

    request_type = WaitingRequest

    def __init__(self, port: int, upstream_url: str) -> None:
        super().__init__(port, upstream_url)
        self.waiting: deque[WaitingRequest] = deque()
        self.paused: deque[tuple[float, Client]] = deque()  # rejected clients, by when they are read again
        self.in_flight = 0
        self.rate, self.tokens, self.tokens_at = UNLIMITED, 0.0, self.now
        self.busy_s, self.window_at, self.admitted = 0.0, self.now, 0
        self.full_windows = self.spare_windows = 0

    def wait_s(self) -> float:
        wait_s = super().wait_s()
        if self.waiting:
            return min(wait_s, 0.002)
        return min(wait_s, 0.005) if self.paused else wait_s

    def iterate(self, events: list[tuple[int, int]]) -> None:
        self.read_paused_again()
        super().iterate(events)
        self.busy_s += monotonic() - self.now
        if self.now - self.window_at > WINDOW_S:
            self.adjust_rate()

    def read_paused_again(self) -> None:
        while self.paused and self.paused[0][0] <= self.now:
            _, client = self.paused.popleft()
            if client.socket.fileno() >= 0:
                self.poller.modify(client.socket.fileno(), select.EPOLLIN)

    def admit(self) -> None:
        now, waiting = self.now, self.waiting
        if not waiting:
            return
        refill = (now - self.tokens_at) * self.rate
        self.tokens = min(self.tokens + refill, max(self.rate * BURST_S, 1.0))
        self.tokens_at = now
        take = waiting.pop if now - waiting[0].arrived_at > NEWEST_FIRST_AFTER_S else waiting.popleft
        while waiting and self.tokens >= 1.0 and self.in_flight < MAX_IN_FLIGHT:
            request = take()
            if not request.done:
                self.tokens -= 1.0
                self.admitted += 1
                self.in_flight += 1
                request.send()
        while waiting and (waiting[0].done or now - waiting[0].arrived_at > waiting[0].patience_s):
            request = waiting.popleft()
            if not request.done:
                self.reject(request)

    def reject(self, request: WaitingRequest) -> None:
        request.finish(*OVERLOADED)
        client = request.client
        if client.socket.fileno() >= 0:
            self.poller.modify(client.socket.fileno(), 0)
            self.paused.append((self.now + BACKPRESSURE_S, client))

    def adjust_rate(self) -> None:
        span_s = self.now - self.window_at
        used = self.busy_s / span_s
        self.full_windows = self.full_windows + 1 if used > 0.97 else 0
        if self.rate == UNLIMITED:
            if (self.full_windows >= 2 and self.waiting) or self.full_windows >= 4:
                self.rate = max(self.admitted / span_s * 0.85, MIN_RATE)
        else:
            if self.waiting or used > 0.9:
                self.rate = max(self.rate * (1.0 + 0.35 * (0.93 - used)), MIN_RATE)
            self.spare_windows = self.spare_windows + 1 if not self.waiting and used < 0.85 else 0
            if self.spare_windows >= 20:
                self.rate, self.spare_windows = UNLIMITED, 0
        self.busy_s, self.window_at, self.admitted = 0.0, self.now, 0


if __name__ == "__main__":
    AdmittingEventLoop(int(sys.argv[1]), sys.argv[2]).run()
