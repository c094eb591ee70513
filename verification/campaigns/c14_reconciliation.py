"""C14: what clients got, what the upstream saw and what the gateway counted, joined request by request."""

import asyncio
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from random import Random

import uvloop

from hedgerow.processes.process_tuning import raise_descriptor_limit
from hedgerow_simulator import Behaviour, LogEntry, Simulator, running_simulator
from support.processes import GatewayProcess
from support.raw_http import Client
from verification.harness.campaign import Campaign, Findings, counted
from verification.harness.processes import gateway, settle, sum_of, unsettled

ANSWERS = 1_000_000
CLIENTS = 100
ROUND = 20_000
"""Requests after which all is at rest and the three histories are joined; the upstream's log holds 100 000."""
WORKERS = 2
"""What is counted is the sum over them."""
LEAVE_SHARE = 0.03
"""Requests whose client leaves before the answer."""
TIMEOUTS_MS = (15, 250)
FLAGS = (
    "--hedge-after-ms=20",
    "--loser-grace-ms=200",
    "--shedding=off",
    f"--workers={WORKERS}",
    "--drain-ms=1000",
)
SETTLE_S = 10.0
FIRED = 'hedgerow_hedges_total{event="fired"}'

_TIMING = re.compile(r'hedges;desc="([0-9]+)"(?:, winner;desc="([0-9]+)")?')


@dataclass(slots=True)
class Answered:
    """One request as its client saw it."""

    status: int
    """0: the client left."""
    body: bytes = b""
    hedges: int = 0
    winner: int = 0


class Reconciliation:
    """The clients' history of one round, by request id; and what the whole campaign came to."""

    def __init__(self, seed: int, port: int, findings: Findings) -> None:
        self.asked: dict[str, Answered] = {}
        self.totals: Counter[str] = Counter()
        self._seed = seed
        self._port = port
        self._findings = findings

    async def ask(self, numbers: range) -> None:
        """Have clients ask this many times."""
        queue = iter(numbers)

        async def one_after_the_other() -> None:
            client = await Client.connect(self._port)
            for number in queue:
                client = await self._ask(client, number, Random(f"{self._seed}/{number}"))
            client.close()

        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(one_after_the_other())

    async def _ask(self, client: Client, number: int, chance: Random) -> Client:
        request_id = f"r{number}"
        timeout_ms = chance.randint(*TIMEOUTS_MS)
        if chance.random() < LEAVE_SHARE:
            head = f"GET /api/smart HTTP/1.1\r\nHost: x\r\nX-Request-Id: {request_id}\r\n\r\n"
            client.send(head.encode())
            await asyncio.sleep(chance.random() * 0.04)
            client.close()
            self.asked[request_id] = Answered(0)
            return await Client.connect(self._port)
        status, headers, body = await client.get(f"/api/smart?timeout={timeout_ms}", X_Request_Id=request_id)
        given = headers["x-request-id"]
        self._findings.check(given == request_id, "the answer is to the request", f"{request_id} got {given}")
        timing = _TIMING.search(headers["server-timing"])
        hedges, winner = (int(timing[1]), int(timing[2] or 0)) if timing else (0, 0)
        self.asked[request_id] = Answered(status, body, hedges, winner)
        return client

    def join(self, log: list[LogEntry]) -> None:
        """Hold what the clients saw against what the upstream saw; then forget both."""
        seen: defaultdict[str, list[LogEntry]] = defaultdict(list)
        for entry in log:
            seen[entry.request_id or ""].append(entry)
        for request_id, answered in self.asked.items():
            self._join_one(request_id, answered, seen.pop(request_id, []))
        invariant = "the upstream is asked only what a client has asked"
        self._findings.check(not seen, invariant, list(seen)[:5])
        self.asked.clear()

    def _join_one(self, request_id: str, answered: Answered, entries: list[LogEntry]) -> None:
        check = self._findings.check
        numbers = [entry.attempt for entry in entries]
        about = f"{request_id}: {answered}, the upstream saw {entries}"
        check(sorted(map(int, filter(None, numbers))) == list(range(1, len(entries) + 1)),
              "attempts are numbered from 1, each is sent once", about)  # fmt: skip
        check(len(entries) <= 3, "at most three attempts", about)
        self.totals["attempts"] += len(entries)
        self.totals["hedges"] += max(len(entries) - 1, 0)
        self.totals[f"status {answered.status}"] += 1
        match answered.status:
            case 0:  # it left before or after the answer was on its way
                pass
            case 200:
                self.totals["won by hedges"] += answered.winner > 1
                bodies = {entry.attempt: entry.body for entry in entries}
                check(bodies.get(answered.winner) == answered.body.decode(),
                      "a body is that of the own attempt that won", about)  # fmt: skip
                check(answered.hedges == len(entries) - 1, "attempts reported are attempts seen", about)
            case 502 | 504:
                reported = json.loads(answered.body)["attempts"]
                check([each["number"] for each in reported] == sorted(map(int, filter(None, numbers))),
                      "attempts reported are attempts seen", about)  # fmt: skip
            case 503:  # it lay unread for all its time: the machine is busy
                check(not entries, "who is refused costs the upstream nothing", about)
            case _:
                self._findings.violation("every answer is one of the contract's", about)

    def compare(self, metrics: dict[str, float]) -> None:
        """Hold the gateway's counts against both."""

        def requests(outcome: str) -> float:
            return metrics.get(f'hedgerow_requests_total{{outcome="{outcome}"}}', 0.0)

        def agree(name: str, counts: float, saw: float) -> None:
            self._findings.check(
                counts == saw, f"{name}: counted as seen", f"{counts:g} counted, {saw:g} seen"
            )

        totals = self.totals
        # A client that leaves may have had its answer: then it counts as that, and with it the hedge that won.
        had, left = sum_of(metrics, "hedgerow_requests_total"), totals["status 0"]
        agree("all requests", had, sum(times for name, times in totals.items() if name.startswith("status ")))
        abandoned = requests("abandoned")
        self._findings.check(
            0 < abandoned <= left, "clients that left: counted as seen", f"{abandoned:g} of {left}"
        )
        surplus = left - abandoned
        for outcome, status in (
            ("success", 200),
            ("all_failed", 502),
            ("out_of_time", 504),
            ("overloaded", 503),
        ):
            counts, saw = requests(outcome), totals[f"status {status}"]
            invariant = f"{outcome}: counted as seen"
            self._findings.check(
                saw <= counts <= saw + surplus, invariant, f"{counts:g} counted, {saw} seen, {surplus:g} left"
            )
        agree("attempts", sum_of(metrics, "hedgerow_attempts_total"), totals["attempts"])
        agree("hedges", metrics[FIRED], totals["hedges"])
        won, saw = metrics['hedgerow_hedges_total{event="won"}'], totals["won by hedges"]
        self._findings.check(
            saw <= won <= saw + surplus, "hedges that won: counted as seen", f"{won:g}, {saw}"
        )


async def campaign(seed: int, share: float, findings: Findings) -> None:
    """Ask in rounds; after each, wait for rest and join."""
    answers = counted(ANSWERS, share, at_least=200)
    behaviour = Behaviour(
        latency_ms=(1, 80), error_rate=0.1, too_many_rate=0.02, malformed_rate=0.05, reset_rate=0.03,
        hang_rate=0.02, drip_rate=0.0, seed=seed, unique=True,
    )  # fmt: skip
    async with running_simulator(behaviour, log=True) as upstream:
        with gateway("--upstream", upstream.url, *FLAGS) as served:
            reconciliation = Reconciliation(seed, served.port, findings)
            metrics = await rounds(reconciliation, served, upstream, answers, findings)
            reconciliation.compare(metrics)
            findings.check(
                metrics["hedgerow_internal_errors_total"] == 0, "no internal error", served.log()[:1000]
            )
            findings.check("Traceback" not in served.log(), "nothing is raised", served.log()[:1000])
    findings.count = answers
    findings.figures = {
        "joined": ", ".join(f"{name}: {times}" for name, times in sorted(reconciliation.totals.items())),
        "metrics": f"requests: {sum_of(metrics, 'hedgerow_requests_total'):g}, "
        f"attempts: {sum_of(metrics, 'hedgerow_attempts_total'):g}, "
        f"hedges: {metrics[FIRED]:g}",
    }


async def rounds(
    reconciliation: Reconciliation,
    served: GatewayProcess,
    upstream: Simulator,
    answers: int,
    findings: Findings,
) -> dict[str, float]:
    """Return the metrics after the last round."""
    metrics: dict[str, float] = {}
    logged = 0
    for begin in range(0, answers, ROUND):
        await reconciliation.ask(range(begin, min(begin + ROUND, answers)))
        metrics = await asyncio.to_thread(settle, served, SETTLE_S)
        findings.check(not unsettled(metrics), "at rest the gateway's own gauges are 0", unsettled(metrics))
        log = upstream.log(after=logged)
        logged = log[-1].n
        reconciliation.join(log)
    return metrics


def run(seed: int, share: float) -> Findings:
    """Join this many answers with what the upstream saw."""
    findings = Findings()
    raise_descriptor_limit()
    uvloop.run(campaign(seed, share, findings))
    return findings


CAMPAIGN = Campaign(
    id="C14",
    title="reconciliation",
    proves="Every answer's body is that of one of its own attempts; what the gateway says of its attempts is what the "
    "upstream saw; its metrics are the sum of both.",
    acceptance_threshold="1 000 000 answers, 0 differences",
    run=run,
)
