"""How C11's clients reach the gateway, directly or through a proxy, and the invariants that hold there."""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from support.processes import GatewayProcess
from support.request_differential import Parsed, compare, parse
from verification.harness.campaign import Findings
from verification.harness.hostile_requests import VALID, Case
from verification.harness.processes import sum_of
from verification.harness.proxies import Log

PATIENCE_S = 60.0
"""What has not come by then never will."""
LOOK_AGAIN_S = 0.01
_REFUSALS = frozenset({400, 405, 414, 417, 431, 505})


class Counts:
    """What the gateway counted, and what it asked, since the last batch."""

    def __init__(self, served: GatewayProcess, asked: list[str]) -> None:
        self.served = served
        self.asked = asked
        self.gateways = 0
        self._before = sum_of(served.metrics(), "hedgerow_requests_total")

    async def until(self, holds: Callable[[], bool]) -> bool:
        """Read the counts until something holds; return whether it ever did."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PATIENCE_S
        while True:
            metrics = await asyncio.to_thread(self.served.metrics)
            self.gateways = int(sum_of(metrics, "hedgerow_requests_total") - self._before)
            if holds():
                return True
            if loop.time() > give_up_at:
                return False
            await asyncio.sleep(LOOK_AGAIN_S)

    def restart(self) -> None:
        """A batch is over."""
        self._before += self.gateways
        self.asked.clear()


# -- what comes back


@dataclass(slots=True)
class Answer:
    """One answer; what has no status line is one of HTTP/0.9, of status 0."""

    status: int
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""

    @property
    def request_id(self) -> str:
        return self.headers.get(b"x-request-id", b"").decode("latin-1")

    @property
    def gateways(self) -> bool:
        """The gateway's, and not a proxy's own."""
        return self.request_id != "" or (self.status == 0 and not self.body.startswith(b"<"))


def answers_in(data: bytes) -> list[Answer]:
    """Take apart what came over one connection, by plain arithmetic.

    An answer to HEAD has a length, too: the proxies say that it is one, by `X-Method`; and no body of ours begins
    as the next answer does.
    """
    found: list[Answer] = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        if not line.startswith(b"HTTP/1."):
            return [*found, Answer(0, body=data)]
        status = int(line.split(b" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(b":") for each in lines)}
        bodiless = headers.get(b"x-method") == b"HEAD" or rest.startswith(b"HTTP/1.")
        size = 0 if bodiless else int(headers.get(b"content-length", b"0"))
        body, data = rest[:size], rest[size:]
        if status >= 200:
            found.append(Answer(status, headers, body))
    return found


@dataclass(slots=True)
class Exchange:
    """One input and what came of it."""

    case: Case
    port: int
    """The client's."""
    reset: bool
    """By RST: answers may have been lost on their way."""
    answers: list[Answer]

    @property
    def given(self) -> list[Answer]:
        """What the gateway answered."""
        return [answer for answer in self.answers if answer.gateways]

    def __str__(self) -> str:
        wire = self.case.wire
        shown = wire if len(wire) < 600 else wire[:300] + b"[...]" + wire[-300:]
        return f"{shown!r} -> {[answer.status for answer in self.answers]} ({self.case.kind})"


# -- the ways in


class RawClient(asyncio.Protocol):
    """Keeps what comes; says that nothing more will be sent, once it is all sent and `enough` has come."""

    def __init__(self, enough: Callable[[bytes], bool]) -> None:
        self.data = b""
        self.reset = False
        self.ended = asyncio.get_running_loop().create_future()
        self._enough = enough
        self._transport: asyncio.Transport
        self._all_sent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._leave_if_enough()

    def connection_lost(self, exc: Exception | None) -> None:
        self.reset = exc is not None
        if not self.ended.done():
            self.ended.set_result(None)

    async def send(self, pieces: Sequence[bytes]) -> None:
        """Write, with a turn of the loop between two pieces."""
        for piece in pieces:
            if self._transport.is_closing():
                return
            self._transport.write(piece)
            await asyncio.sleep(0)
        self._all_sent = True
        self._leave_if_enough()

    def _leave_if_enough(self) -> None:
        if self._all_sent and not self._transport.is_closing() and self._enough(self.data):
            self._all_sent = False
            self._transport.write_eof()


class EntryPath(ABC):
    """How the clients reach the gateway."""

    name: str

    def __init__(self, port: int, findings: Findings) -> None:
        self.port = port
        self.findings = findings
        self.ports: set[int] = set()
        """The clients' own, in this batch: the proxies' logs distinguish them by these."""

    async def exchange(self, case: Case) -> Exchange | None:
        """Send an input, and read all that comes back until the connection ends."""
        loop = asyncio.get_running_loop()
        enough = self.enough(case)
        while True:
            transport, client = await loop.create_connection(
                lambda: RawClient(enough), "127.0.0.1", self.port
            )
            port = transport.get_extra_info("sockname")[1]
            if port not in self.ports:
                break
            transport.abort()  # the kernel has given it out again
        self.ports.add(port)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await client.send(case.writes)
                await client.ended
        except TimeoutError:
            invariant = f"{self.name}: every request is answered, and every connection ends"
            self.findings.violation(invariant, f"{case.wire!r}: {client.data!r}")
            return None
        finally:
            transport.abort()
        return Exchange(case, port, client.reset, answers_in(client.data))

    @abstractmethod
    def enough(self, case: Case) -> Callable[[bytes], bool]:
        """Return when to half-close: by what has come, once all has been sent."""

    @abstractmethod
    async def classify_response(self, exchanges: Sequence[Exchange], counts: "Counts") -> None:
        """Check the invariants on a batch, once nothing of it is under way."""


class DirectPath(EntryPath):
    """No proxy: what the gateway says itself."""

    name = "directly"

    def enough(self, case: Case) -> Callable[[bytes], bool]:
        """When all answers are there, if the gateway does not close by itself: to half-close is to leave."""
        parsed = parse(case.wire, piece_bytes=len(case.wire) or 1)
        due = len(parsed.accepted)
        if parsed.rejected is not None or (parsed.accepted and not parsed.accepted[-1].keep_alive):
            return lambda _: False
        return lambda data: len(answers_in(data)) >= due

    async def classify_response(self, exchanges: Sequence[Exchange], counts: "Counts") -> None:
        for each in exchanges:
            if each.case.damage is None:
                self._judge_known(each)
            self._judge_by_opinion(each)
        answered = sum(len(each.answers) for each in exchanges)
        seen = await counts.until(lambda: answered == counts.gateways)
        self.findings.check(
            seen,
            "directly: the gateway counts what it answers",
            f"{answered} answers, {counts.gateways} counted",
        )

    def _judge_known(self, exchange: Exchange) -> None:
        """What was put together from the tables has answers that are known."""
        want, got = exchange.case.statuses, exchange.answers
        sound = all(
            answer.status == status if status else answer.status in _REFUSALS
            for status, answer in zip(want, got, strict=False)
        )
        whole = sound and len(want) == len(got)
        if want[-1]:
            self.findings.check(whole, "directly: what is valid is answered", exchange)
        else:
            self.findings.check(
                whole, "directly: what is malformed is refused, and ends its connection", exchange
            )

    def _judge_by_opinion(self, exchange: Exchange) -> None:
        """Whatever it is: h11 takes what we took for the same requests, and as many were answered."""
        parsed = Parsed()
        try:
            parsed = compare(exchange.case.wire)
        except AssertionError as error:
            self.findings.violation("directly: h11 reads what we accept alike", f"{exchange}: {error}")
            return
        due = len(parsed.accepted) + (parsed.rejected is not None)
        invariant = "directly: as many answers as requests understood, and one refusal at most"
        self.findings.check(due == len(exchange.answers), invariant, f"{due} due: {exchange}")
        for accepted, answer in zip(parsed.accepted, exchange.answers, strict=False):
            if accepted.method == b"HEAD":
                self.findings.check(answer.body == b"", "directly: an answer to HEAD has no body", exchange)
        if parsed.rejected is not None and due == len(exchange.answers):
            last = exchange.answers[-1]
            closes = last.status in _REFUSALS and last.headers.get(b"connection") == b"close"
            self.findings.check(closes, "directly: a refusal is the last answer, and says so", exchange)


class ProxyPath(EntryPath):
    """A proxy is in front of the gateway."""

    def __init__(self, name: str, port: int, log: Log, findings: Findings) -> None:
        super().__init__(port, findings)
        self.name = f"behind {name}"
        self.log = log

    def enough(self, case: Case) -> Callable[[bytes], bool]:  # noqa: ARG002 (the same for all)
        """Never: the proxies close what is idle, very soon. HAProxy drops the rest of a half-closed connection."""
        return lambda _: False

    async def classify_response(self, exchanges: Sequence[Exchange], counts: "Counts") -> None:
        log = self.log

        def agreed() -> bool:
            return counts.gateways == len(log.passed_on) and all(self._all_logged(each) for each in exchanges)

        await counts.until(agreed)
        invariant = f"{self.name}: the gateway counts as many requests as the proxy passed on"
        seen = f"{counts.gateways} counted, {len(log.passed_on)} passed on, since {exchanges[0]}"
        self.findings.check(counts.gateways == len(log.passed_on), invariant, seen)
        passed_on = Counter(log.passed_on)
        strange = [each for each, times in Counter(counts.asked).items() if times > passed_on[each]]
        invariant = f"{self.name}: no race but of a request that the proxy passed on"
        self.findings.check(not strange, invariant, f"{strange[:3]}, since {exchanges[0]}")
        for each in exchanges:
            self._judge(each)
        log.lines.clear()

    def _answered(self, exchange: Exchange) -> int:
        """Count by the log the answers to requests that were passed on; some of these may be the proxy's own."""
        return sum(line.answered and line.passed_on for line in self.log.lines[exchange.port])

    def _all_logged(self, exchange: Exchange) -> bool:
        answered = self._answered(exchange)
        return len(exchange.given) <= answered and (exchange.reset or answered <= len(exchange.answers))

    def _judge(self, exchange: Exchange) -> None:
        given = exchange.given
        invariant = f"{self.name}: the answers that come are those of the proxy's log"
        self.findings.check(
            self._all_logged(exchange), invariant, f"{self._answered(exchange)} by the log: {exchange}"
        )
        own = Counter(line.request_id for line in self.log.lines[exchange.port] if line.passed_on)
        # A head may be refused before its id is read.
        read = Counter(each.request_id for each in given if each.request_id and each.status not in _REFUSALS)
        invariant = f"{self.name}: every answer is to a request of the same client's"
        self.findings.check(read <= own, invariant, f"{read - own}: {exchange}")
        parts = exchange.case.parts
        if len(parts) == 1 and parts[0] in VALID and given:
            invariant = f"{self.name}: what is valid, and passed on, is answered"
            self.findings.check(given[0].status == parts[0].status, invariant, exchange)
