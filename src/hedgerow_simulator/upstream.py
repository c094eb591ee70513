"""The upstream that is played: which answer a request gets. No socket, no clock; it draws, counts, logs."""

import json
import re
from dataclasses import dataclass
from hashlib import sha256

from hedgerow_simulator.behaviour import Behaviour
from hedgerow_simulator.fault_sampler import FaultSampler
from hedgerow_simulator.fault_spec import InvalidSpec, entry_for, read_attempt, read_script
from hedgerow_simulator.faults import FAULTS
from hedgerow_simulator.request_log import LogEntry, RequestLog
from hedgerow_simulator.stats import StatsCounter
from hedgerow_simulator.wire_script import JSON, TEXT, WireScript, complete_response
from hedgerow_simulator.work_queue import WorkQueue

WORK_PATH = b"/api/work"
STATS_PATH = b"/stats"
LOG_PATH = b"/log"

_LOG_QUERY = re.compile(rb"(?:after=([0-9]{1,15}))?")


@dataclass(slots=True)
class Request:
    """The parts of a request that matter here; a header that is absent is empty."""

    method: bytes
    target: bytes
    fault: bytes = b""
    request_id: bytes = b""
    attempt: bytes = b""
    keep_alive: bool = True


@dataclass(slots=True)
class Answer:
    """What to do on the wire, and how long after the request. `is_work`: it counts as a request for work.

    `needs_worker`: the time counts from when a worker begins with it, where there are workers.
    """

    wire: WireScript
    after_ms: int
    is_work: bool
    needs_worker: bool = False


def _at_once(data: bytes) -> Answer:
    return Answer(data, after_ms=0, is_work=False)


def _text(status: int, text: str, *fields: str) -> bytes:
    return complete_response(status, TEXT, f"{text}\n".encode(), *fields)


NOT_HTTP = _text(400, "this is not a request that the simulator can parse", "Connection: close")


class Upstream:
    """One process's upstream. With `log`, it keeps what arrived for `/log`.

    `queue` is set by `simulator.serving` where there is a capacity; without it each request takes its latency.
    """

    def __init__(
        self, behaviour: Behaviour, counts: StatsCounter, *, index: int = 0, log: bool = False
    ) -> None:
        self.counts = counts
        self.log = RequestLog()
        self.queue: WorkQueue | None = None
        self._keeps_log = log
        self._draws = FaultSampler(behaviour, index)
        self._unique = behaviour.unique
        self._token = sha256(f"{behaviour.seed}/{index}".encode()).hexdigest()[:16].encode()
        self._requests = 0

    def answer(self, request: Request) -> Answer:
        """Return the response to a request. Never raises: errors are responses."""
        path, _, query = request.target.partition(b"?")
        if path not in (WORK_PATH, STATS_PATH, LOG_PATH):
            return _at_once(_text(404, "here are GET /api/work, GET /stats and GET /log"))
        if request.method != b"GET":
            return _at_once(_text(405, "only GET", "Allow: GET"))
        if path == WORK_PATH:
            return self._work(request, query)
        if path == STATS_PATH:
            return _at_once(complete_response(200, JSON, json.dumps(self.counts.stats().as_json()).encode()))
        return _at_once(self._log_after(query))

    def _work(self, request: Request, query: bytes) -> Answer:
        script = read_script(request.fault, query) if request.fault or query else ()
        attempt = read_attempt(request.attempt)
        if isinstance(script, InvalidSpec):
            return _at_once(_text(400, script.text))
        if isinstance(attempt, InvalidSpec):
            return _at_once(_text(400, attempt.text))
        latency_ms, fault = self._draws.next()
        if script:
            spec = entry_for(script, attempt)
            fault = spec.fault
            if isinstance(spec.latency_ms, int):
                latency_ms = spec.latency_ms
        is_rejected = self.queue is not None and self.queue.is_full
        if is_rejected:
            fault, latency_ms = FAULTS["overloaded"], 0
        self._requests += 1
        body = self._body(latency_ms)
        self.counts.begun(fault.kind)
        if self._keeps_log:
            entry = LogEntry(
                n=self._requests,
                request_id=request.request_id.decode("latin-1") or None,
                attempt=attempt if request.attempt else None,
                fault=fault.name,
                body=body.decode() if fault.succeeds else None,
            )
            self.log.add(entry)
        return Answer(fault.wire(body), latency_ms, is_work=True, needs_worker=not is_rejected)

    def _body(self, latency_ms: int) -> bytes:
        if self._unique:
            return b'{"time":%d,"token":"%d-%b"}' % (latency_ms, self._requests, self._token)
        return b'{"time":%d}' % latency_ms

    def _log_after(self, query: bytes) -> bytes:
        if not self._keeps_log:
            return _text(404, "no log is kept; start the server with --log")
        match = _LOG_QUERY.fullmatch(query)
        if match is None:
            return _text(400, "use /log or /log?after=N, N a whole number")
        entries = self.log.after(int(match[1] or 0))
        return complete_response(200, JSON, json.dumps([entry._asdict() for entry in entries]).encode())
