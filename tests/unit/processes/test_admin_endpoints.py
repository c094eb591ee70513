"""What the admin port answers, in virtual time: readiness and every gauge are functions of now."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from hedgerow.core.request import Request
from hedgerow.processes.admin_endpoints import REPLY_WAIT_S, AdminEndpoints
from hedgerow.processes.control_channel import (
    ControlReply,
    ControlRequest,
    GetRecent,
    GetSnapshot,
    RecentReply,
    SnapshotReply,
)
from hedgerow.processes.worker_manager import WorkerManager
from hedgerow.settings import LogFormat, Settings, parse_target
from hedgerow.settings.routes import RouteRule, UpstreamRule
from hedgerow.status.health import UNRESPONSIVE_S
from hedgerow.status.report_schema import ConfigurationStatus
from hedgerow.telemetry.logs import Logs
from hedgerow.telemetry.request_record import RequestRecord
from hedgerow.telemetry.snapshot import RouteCounts, Snapshot
from support.virtual_asyncio import run_in_virtual_time

REPLY_S = 0.001
RECORD = RequestRecord("mine", "/api/smart", "success", 1.0, 2.0, None, None, [])


class FakeWorker:
    """The channel to a worker that replies after `REPLY_S`, unless it is stopped."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ready = True
        self.is_replaced = False
        self.last = Snapshot()
        self.last_heard_at = self.loop.time()
        self.overloaded_until = 0.0
        self.counts = Snapshot()
        self.stopped = False
        self.requested: list[ControlRequest] = []

    def request(self, request: ControlRequest) -> asyncio.Future[ControlReply]:
        self.requested.append(request)
        reply: asyncio.Future[ControlReply] = self.loop.create_future()
        self.loop.call_later(REPLY_S, self._reply, request, reply)
        return reply

    def _reply(self, request: ControlRequest, reply: "asyncio.Future[ControlReply]") -> None:
        if self.stopped:
            return
        self.last_heard_at = self.loop.time()
        if isinstance(request, GetSnapshot):
            self.counts.overloaded_workers = int(self.loop.time() < self.overloaded_until)
            self.last = Snapshot(
                requests=dict(self.counts.requests),
                routes=self.counts.routes,
                overloaded_workers=self.counts.overloaded_workers,
            )
            if not reply.done():
                reply.set_result(SnapshotReply(self.last))
        elif isinstance(request, GetRecent) and not reply.done():
            reply.set_result(RecentReply([RECORD] if request.request_id in (None, "mine") else []))


class FakeWorkers:
    """What the endpoints use of `WorkerManager`."""

    def __init__(self, number: int) -> None:
        self.channels = [FakeWorker() for _ in range(number)]
        self.retired = Snapshot()
        self.draining = False

    @property
    def serving(self) -> list[FakeWorker]:
        return [channel for channel in self.channels if channel.ready]

    @property
    def staying(self) -> list[FakeWorker]:
        return [channel for channel in self.serving if not channel.is_replaced]


class Port:
    """The endpoints of a gateway with fake workers."""

    def __init__(self, number: int = 2) -> None:
        self.workers = FakeWorkers(number)
        self.time_of_day = 1_700_000_000.0
        loop = asyncio.get_running_loop()
        self.endpoints = AdminEndpoints(
            Settings(workers=number), cast(WorkerManager, self.workers), Logs(LogFormat.JSON, "critical"),
            clock=loop.time, wall_clock=lambda: self.time_of_day + loop.time(),
        )  # fmt: skip
        self.routes = self.endpoints.routes(8080)

    async def get(self, path: str) -> tuple[int, Any]:
        path, _, query = path.partition("?")
        request = Request(b"GET", path.encode(), query.encode(), request_id=b"r", arrived_at=0.0)
        response = await self.routes.answer(request)
        body = response.body
        return response.status, json.loads(body) if body.startswith(b"{") else body.decode()


def played(play: Callable[[Port], Awaitable[None]], number: int = 2) -> None:
    """Play something to a gateway that samples, in virtual time."""

    async def run() -> None:
        port = Port(number)
        port.endpoints.start()
        await asyncio.sleep(REPLY_WAIT_S)
        await play(port)
        await port.endpoints.stop()

    run_in_virtual_time(run())


def test_a2_ready_again_as_soon_as_the_overload_is_over_without_any_traffic() -> None:
    async def play(port: Port) -> None:
        until = asyncio.get_running_loop().time() + 3.0
        for worker in port.workers.channels:
            worker.overloaded_until = until
        await asyncio.sleep(1.0)
        assert (await port.get("/readyz"))[0] == 503
        await asyncio.sleep(until - asyncio.get_running_loop().time() - 2 * REPLY_S)
        assert (await port.get("/readyz"))[0] == 503
        await asyncio.sleep(2 * REPLY_S)
        assert (await port.get("/readyz"))[0] == 200

    played(play)


def test_readiness_is_about_the_workers_that_answer() -> None:
    async def play(port: Port) -> None:
        one, other = port.workers.channels
        one.stopped = True
        await asyncio.sleep(UNRESPONSIVE_S + 2)
        assert await port.get("/readyz") == (200, {"ready": True, "reason": "1 of 2 workers serve"})
        assert (await port.get("/status.json"))[1]["workers"] == {"wanted": 2, "ready": 2, "unresponsive": 1}
        other.stopped = True
        await asyncio.sleep(UNRESPONSIVE_S + 2)
        assert await port.get("/readyz") == (503, {"ready": False, "reason": "no worker responds"})
        one.stopped = False
        assert (await port.get("/readyz"))[0] == 200, "at once"

    played(play)


def test_a_worker_that_drains_after_it_was_replaced_is_not_counted() -> None:
    async def play(port: Port) -> None:
        port.workers.channels.append(FakeWorker())
        port.workers.channels[0].is_replaced = True
        assert await port.get("/readyz") == (200, {"ready": True, "reason": "2 of 2 workers serve"})
        assert (await port.get("/status.json"))[1]["gateway"]["reason"] == "2 of 2 workers serve."
        assert port.workers.channels[0].requested, "its counts are needed"

    played(play)


def test_starting_draining_and_none_left() -> None:
    async def play(port: Port) -> None:
        (worker,) = port.workers.channels
        worker.ready = False
        assert (await port.get("/readyz"))[1]["reason"] == "no worker serves"
        assert (await port.get("/status.json"))[1]["gateway"]["state"] == "failing"
        port.workers.draining = True
        assert (await port.get("/readyz"))[1]["reason"] == "draining"

    played(play, 1)

    async def starting() -> None:
        port = Port(1)
        port.workers.channels[0].ready = False
        assert (await port.get("/readyz"))[1]["reason"] == "starting"
        assert (await port.get("/status.json"))[1]["gateway"]["state"] == "starting"

    run_in_virtual_time(starting())


@pytest.mark.parametrize("stopped_s", [3.0, 60.0, 1e6])
def test_a_supervisor_that_was_stopped_takes_no_worker_for_silent(stopped_s: float) -> None:
    async def play(port: Port) -> None:
        loop = cast(Any, asyncio.get_running_loop())
        for worker in port.workers.channels:
            worker.stopped = True  # it needs a moment, too
        loop.now += stopped_s
        await asyncio.sleep(1.0)
        assert (await port.get("/readyz"))[0] == 200
        assert (await port.get("/status.json"))[1]["workers"]["unresponsive"] == 0
        await asyncio.sleep(UNRESPONSIVE_S + 2)
        assert (await port.get("/readyz"))[1]["reason"] == "no worker responds", "now they have been asked"

    played(play)


@pytest.mark.parametrize("set_by_s", [-1e6, -1.0, 3600.0])
def test_a_clock_that_was_set_changes_nothing_but_the_time_of_day(set_by_s: float) -> None:
    async def play(port: Port) -> None:
        await asyncio.sleep(20.0)
        before = (await port.get("/status.json"))[1]
        port.time_of_day += set_by_s
        after = (await port.get("/status.json"))[1]
        assert (await port.get("/readyz"))[0] == 200
        assert after["at"] - before["at"] == pytest.approx(set_by_s, abs=1.0)
        assert after["window_s"] == pytest.approx(before["window_s"], abs=0.2)
        ages = [[status["at"] - at for at in status["series"]["at"]] for status in (before, after)]
        assert ages[1] == pytest.approx(ages[0], abs=1.1)

    played(play)


def test_counts_are_those_of_now() -> None:
    async def play(port: Port) -> None:
        await asyncio.sleep(2.5)
        for worker in port.workers.channels:
            worker.counts.requests["success"] = 5
            worker.counts.routes["/api/smart"] = {"default": RouteCounts(requests={"success": 5})}
        assert (await port.get("/status.json"))[1]["requests"]["total"] == 10
        counted = 'hedgerow_requests_total{outcome="success",route="/api/smart"} 10.0'
        assert counted in (await port.get("/metrics"))[1]

    played(play)


def test_clients_that_ask_at_the_same_time_share_one_question() -> None:
    async def play(port: Port) -> None:
        for path in ("/status.json", "/metrics", "/readyz"):
            (worker, _) = port.workers.channels
            before = len(worker.requested)
            answers = await asyncio.gather(*(port.get(path) for _ in range(500)))
            assert {status for status, _ in answers} == {200}
            assert len(worker.requested) - before <= 2

    played(play)


def test_workers_are_heard_while_metrics_are_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        loop, heard = asyncio.get_running_loop(), threading.Event()

        def render(_: Snapshot) -> bytes:
            loop.call_soon_threadsafe(heard.set)
            assert heard.wait(10), "the event loop runs"
            return b"rendered"

        monkeypatch.setattr("hedgerow.telemetry.prometheus.render", render)
        assert await Port().get("/metrics") == (200, "rendered")

    asyncio.run(run())


def test_a_lookup_that_not_every_worker_answers_is_no_404() -> None:
    async def play(port: Port) -> None:
        assert (await port.get("/status.json?request_id=unknown"))[0] == 404
        port.workers.channels[0].stopped = True
        assert (await port.get("/status.json?request_id=unknown"))[0] == 503
        assert (await port.get("/status.json?request_id=mine"))[0] == 200

    played(play)


def test_an_unknown_window_is_not_found_beside_whatever_else_and_an_empty_id_asks_for_none() -> None:
    async def play(port: Port) -> None:
        assert (await port.get("/status.json?plan="))[0] == 404
        assert (await port.get("/status.json?plan=&request_id="))[0] == 404
        assert (await port.get("/status.json?request_id=mine&plan=true"))[0] == 404
        assert (await port.get("/status.json?request_id="))[0] == 200

    played(play)


def test_the_sampling_goes_on_after_an_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(port: Port) -> None:
        def fails(*_: object) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as injected:
            injected.setattr(port.endpoints._history, "sample", fails)
            await asyncio.sleep(3.0)
        await asyncio.sleep(5.0)
        assert len((await port.get("/status.json"))[1]["series"]["at"]) >= 4

    played(play)


def test_a_route_is_asked_for_by_its_name() -> None:
    async def play(port: Port) -> None:
        for channel in port.workers.channels:
            channel.counts = Snapshot(
                requests={"success": 3, "not_found": 4},
                routes={
                    "/api/smart": {"default": RouteCounts(requests={"success": 3})},
                    "": {"": RouteCounts(requests={"not_found": 4})},
                },
            )
        await asyncio.sleep(1.5)
        _, both = await port.get("/status.json")
        status, one = await port.get("/status.json?route=%2Fapi%2Fsmart")
        assert (status, one["route"], one["requests"]["total"]) == (200, "/api/smart", 6)
        assert (both["route"], both["requests"]["total"], both["unrouted"]) == (None, 14, {"not_found": 8})
        asked = [request for request in port.workers.channels[0].requested if isinstance(request, GetRecent)]
        assert [request.route for request in asked] == [None, "/api/smart"]
        assert len(one["recent"]) == 2

    played(play)


def test_a_route_that_a_reload_takes_away_meanwhile_is_not_found() -> None:
    async def play(port: Port) -> None:
        asked = asyncio.ensure_future(port.get("/status.json?route=%2Fapi%2Fsmart"))
        await asyncio.sleep(REPLY_S / 2)
        routes = (RouteRule(name="/a", path="/a", upstream="u"),)
        upstreams = (UpstreamRule(name="u", endpoints=(parse_target("http://h/"),)),)
        port.endpoints.configured(Settings(routes=routes, upstreams=upstreams), ConfigurationStatus())
        status, problem = await asked
        assert (status, problem["detail"]) == (404, "the route '/api/smart' is not known; there are: '/a'")

    played(play)


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("route=x", "the route 'x' is not known; there are: '/api/smart'"),
        ("route=", "the route '' is not known; there are: '/api/smart'"),
        ("plan=hour&route=%3Cb%3E", "the route '<b>' is not known; there are: '/api/smart'"),
    ],
)
def test_a_route_that_is_not_known_is_not_found(query: str, detail: str) -> None:
    async def play(port: Port) -> None:
        status, problem = await port.get(f"/status.json?{query}")
        assert (status, problem["code"], problem["detail"]) == (404, "not_found", detail)

    played(play)
