"""C11 through a route that passes bodies on: the upstream that records, and the invariants that hold there."""

import asyncio
import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from verification.harness.campaign import Findings
from verification.harness.entry_paths import LOOK_AGAIN_S, PATIENCE_S, Counts, EntryPath, Exchange
from verification.harness.hostile_bodies import BodyCase, Sent
from verification.harness.hostile_requests import Case
from verification.harness.proxies import Log

_LINE = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.1")
_REJECTED = frozenset({400, 405, 413, 417, 431, 501, 505})


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as the upstream got it."""

    request_id: str
    sent: Sent


class Recorder:
    """What an upstream got since the last batch."""

    def __init__(self) -> None:
        self.requests: list[Recorded] = []
        self.strange: list[bytes] = []
        """Bytes that are no request of the kind that the gateway writes."""


class RecordingUpstream(asyncio.Protocol):
    """Takes requests apart by plain arithmetic, answers each with its target, and records it."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._data = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while self._data:
            head, end, rest = self._data.partition(b"\r\n\r\n")
            if not end:
                return
            line, *lines = head.split(b"\r\n")
            fields = [
                (name.lower(), value.strip()) for name, _, value in (each.partition(b":") for each in lines)
            ]
            lengths = [value for name, value in fields if name == b"content-length"]
            found = _LINE.fullmatch(line)
            if found is None or len(lengths) > 1 or any(name == b"transfer-encoding" for name, _ in fields):
                self._recorder.strange.append(self._data)
                self._transport.abort()
                return
            size = int(lengths[0]) if lengths else 0
            if len(rest) < size:
                return
            method, target = found.groups()
            request_id = next((value.decode() for name, value in fields if name == b"x-request-id"), "")
            self._recorder.requests.append(Recorded(request_id, Sent(method, target, rest[:size])))
            self._data = rest[size:]
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))


class PassedOnPath(EntryPath):
    """How clients' bodies reach the recording upstream."""

    def __init__(self, port: int, recorder: Recorder, findings: Findings) -> None:
        super().__init__(port, findings)
        self.recorder = recorder

    def enough(self, case: Case) -> Callable[[bytes], bool]:  # noqa: ARG002 (the same for all)
        """Never: the last valid request says `close`, and a rejection closes."""
        return lambda _: False

    async def classify_response(self, exchanges: Sequence[Exchange], counts: Counts) -> None:  # noqa: ARG002
        """Check the invariants on a batch, and forget what was recorded."""
        await self._check_recorded(exchanges)
        strange = self.recorder.strange
        self.findings.check(not strange, f"{self.name}: the upstream gets whole requests alone", strange[:1])
        self.recorder.requests.clear()
        strange.clear()

    @abstractmethod
    async def _check_recorded(self, exchanges: Sequence[Exchange]) -> None:
        """Check what the upstream got against what the clients sent and received."""


class DirectPassedOn(PassedOnPath):
    """No proxy before the gateway: what has to reach the upstream is known."""

    def __init__(self, name: str, port: int, recorder: Recorder, findings: Findings) -> None:
        super().__init__(port, recorder, findings)
        self.name = name

    async def _check_recorded(self, exchanges: Sequence[Exchange]) -> None:
        due = Counter(sent for each in exchanges for sent in cast("BodyCase", each.case).sent)
        got = Counter(one.sent for one in self.recorder.requests)
        invariant = f"{self.name}: the upstream gets the valid requests, each once, with whole bodies"
        self.findings.check(
            due == got, invariant, f"missing {list(due - got)[:2]}, beyond {list(got - due)[:2]}"
        )
        for each in exchanges:
            sent = cast("BodyCase", each.case).sent
            answers = each.answers[: len(sent)]
            invariant = f"{self.name}: each valid request gets its own answer, in order"
            self.findings.check(
                [one.body for one in answers] == [one.target for one in sent], invariant, each
            )
            rest = [one.status for one in each.answers[len(sent) :]]
            invariant = f"{self.name}: what is malformed is rejected, and ends its connection"
            is_malformed = len(each.case.parts) > len(sent)
            self.findings.check(
                len(rest) == is_malformed and all(status in _REJECTED for status in rest), invariant, each
            )


class ProxiedPassedOn(PassedOnPath):
    """A proxy is before the gateway, which may reject or repair what is malformed: its log says what it passed on."""

    def __init__(self, name: str, port: int, recorder: Recorder, log: Log, findings: Findings) -> None:
        super().__init__(port, recorder, findings)
        self.name = f"bodies behind {name}"
        self.log = log

    async def _check_recorded(self, exchanges: Sequence[Exchange]) -> None:
        ids = Counter(one.request_id for one in self.recorder.requests)
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PATIENCE_S
        while ids - Counter(self.log.passed_on) and loop.time() < give_up_at:  # noqa: ASYNC110 (datagrams)
            await asyncio.sleep(LOOK_AGAIN_S)
        strange = ids - Counter(self.log.passed_on)
        invariant = f"{self.name}: the upstream gets the requests that the proxy passed on, each once"
        self.findings.check(not strange, invariant, f"{strange}, since {exchanges[0]}")
        by_id = {one.request_id: one.sent for one in self.recorder.requests}
        for each in exchanges:
            own = {line.request_id for line in self.log.lines[each.port] if line.passed_on}
            known = cast("BodyCase", each.case).sent
            got = [
                by_id[one.request_id] for one in each.answers if one.status == 200 and one.request_id in by_id
            ]
            invariant = f"{self.name}: an answer is to a request of the same client's"
            answered = {one.request_id for one in each.answers if one.status == 200}
            self.findings.check(answered <= own & by_id.keys(), invariant, each)
            invariant = f"{self.name}: valid requests come whole, in order"
            self.findings.check(got[: len(known)] == known[: len(got)], invariant, each)
            if len(known) == len(each.case.parts) and not each.reset:
                invariant = f"{self.name}: valid requests are answered"
                self.findings.check(got == known, invariant, each)
        self.log.lines.clear()
