"""Every fault on a real socket, by the bytes that arrive; and the ways in which clients behave badly."""

import asyncio
import json

import pytest

from hedgerow_simulator import FAULTS, Behaviour, Simulator, running_simulator
from hedgerow_simulator.connection import Connection
from hedgerow_simulator.limits import MAX_REQUEST_BYTES
from simulator.raw_client import Ending, connected, judged_by_h11, request_bytes

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n"
ANSWER = OK + b'{"time":0}'

WHOLE = [
    "ok", "error", "too_many", "truncated", "not_json", "wrong_type", "chunked", "early_hints", "no_content",
    "redirect", "gzip", "bad_chunk", "long_head", "status_200", "status_418", "drip", "overloaded",
]  # fmt: skip
ENDED_BY_FIN = ["read_to_close", "close_after", "close", "half_head"]
NEVER_ENDED = ["hang", "huge", "endless_1xx"]


def expected_bytes(name: str, body: bytes = b'{"time":0}') -> bytes:
    wire = FAULTS[name].wire(body)
    return wire if isinstance(wire, bytes) else b"".join(step for step in wire if isinstance(step, bytes))


def test_every_fault_is_tested_here() -> None:
    tested = {*WHOLE, *ENDED_BY_FIN, *NEVER_ENDED, "reset"}
    assert {name for name in tested if not name.startswith("status_")} == set(FAULTS)


@pytest.mark.parametrize("name", WHOLE)
async def test_a_whole_answer_arrives_as_it_is_and_leaves_the_connection_open(name: str) -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        await client.ask("/api/work", f"X-Fault: {name}")
        if name in FAULTS:
            assert await client.read(len(expected_bytes(name))) == expected_bytes(name)
        else:
            head, body = await client.read_answer()
            assert (head[9:12], body) == (name[-3:].encode(), b'{"time":0}')
        await client.ask()
        assert await client.read(len(ANSWER)) == ANSWER
        assert simulator.stats.connections_accepted == 1
        assert simulator.stats.in_flight == 0


@pytest.mark.parametrize("name", ENDED_BY_FIN)
async def test_a_fin_ends_what_was_sent(name: str) -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        await client.ask("/api/work", f"X-Fault: {name}")
        received, ending = await client.read_to_end()
        assert (received, ending) == (expected_bytes(name), Ending.FIN)
        if FAULTS[name].succeeds:
            assert judged_by_h11(received, ending) == (200, b'{"time":0}')
        stats = await simulator.until(lambda stats: stats.connections_open == 0)
        assert (stats.in_flight, stats.clients_left) == (0, 0)


@pytest.mark.parametrize("latency_ms", [0, 1])
async def test_reset_sends_half_of_the_body_and_a_rst(latency_ms: int) -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        await client.ask("/api/work", f"X-Fault: reset@{latency_ms}")
        received, ending = await client.read_to_end()
        assert received == OK + b'{"tim'
        assert ending is Ending.RST
        stats = await simulator.until(lambda stats: stats.connections_open == 0)
        assert (stats.in_flight, stats.clients_left) == (0, 0)


async def test_a_client_leaves_a_hang() -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        await client.ask("/api/work", "X-Fault: hang")
        assert (await simulator.until(lambda stats: stats.total == 1)).in_flight == 1
        client.leave()
        stats = await simulator.until(lambda stats: stats.connections_open == 0)
        assert (stats.in_flight, stats.clients_left, stats.by_fault) == (0, 1, {"hang": 1})


async def test_a_huge_body_goes_on_for_as_long_as_it_is_read() -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        await client.ask("/api/work", "X-Fault: huge")
        head = await client.read(len(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"))
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        await client.read(3_000_000)
        assert simulator.stats.in_flight == 1
        client.leave()
        await simulator.until(lambda stats: stats.clients_left == 1 and stats.connections_open == 0)


async def test_a_huge_unread_body_waits_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    pause = Connection.pause_writing

    def note(connection: Connection) -> None:
        pause(connection)
        if not paused.done():
            paused.set_result(connection._transport.get_write_buffer_size())

    monkeypatch.setattr(Connection, "pause_writing", note)
    async with running_simulator() as simulator, connected(simulator.url) as client:
        await client.ask("/api/work", "X-Fault: huge")
        assert await paused < 200_000
        await client.read(20_000_000)  # far more than the kernel holds: it goes on once it is read
        client.leave()
        await simulator.until(lambda stats: stats.connections_open == 0)


async def test_unread_answers_hold_up_the_requests_behind_them() -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        count = 100
        await client.send(request_bytes("/api/work", "X-Fault: long_head") * count)
        await simulator.until(lambda stats: stats.total > 0)
        assert simulator.stats.total < count / 2
        answer = expected_bytes("long_head")
        for _ in range(count):
            assert await client.read(len(answer)) == answer
        assert simulator.stats.total == count


async def test_interim_answers_never_end() -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
    async with running_simulator() as simulator, connected(simulator.url) as client:
        await client.ask("/api/work", "X-Fault: endless_1xx")
        assert await client.read(5 * len(hint)) == 5 * hint
        client.leave()
        await simulator.until(lambda stats: stats.clients_left == 1 and stats.connections_open == 0)


async def test_the_latency_is_waited_for() -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await client.ask("/api/work?fault=ok@40")
        _, body = await client.read_answer()
        assert body == b'{"time":40}'
        assert loop.time() - before >= 0.038  # both loops round timers to whole ms


async def test_pipelined_requests_are_answered_in_order_and_one_at_a_time() -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        latencies = [5, 0, 3, 0, 0, 1]
        await client.send(b"".join(request_bytes(f"/api/work?fault=ok@{ms}") for ms in latencies))
        bodies = [(await client.read_answer())[1] for _ in latencies]
        assert bodies == [b'{"time":%d}' % ms for ms in latencies]
        assert simulator.stats.in_flight == 0


async def test_a_long_pipeline_is_answered_whole() -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        count = 5_000
        sending = asyncio.ensure_future(
            client.send(request_bytes("/api/work?fault=ok@1") + request_bytes() * count)
        )
        for _ in range(count + 1):
            head, _ = await client.read_answer()
            assert head.startswith(b"HTTP/1.1 200 OK")
        await sending
        assert simulator.stats.total == count + 1


async def test_a_pipeline_behind_an_answer_that_hangs_is_not_read_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting: asyncio.Future[tuple[int, bool]] = asyncio.get_running_loop().create_future()
    receive = Connection.data_received

    def note(connection: Connection, data: bytes) -> None:
        receive(connection, data)
        if not connection._reading:
            waiting.set_result((len(connection._waiting), connection._transport.is_reading()))

    monkeypatch.setattr(Connection, "data_received", note)
    async with running_simulator() as simulator, connected(simulator.url) as client:
        await client.ask("/api/work", "X-Fault: hang")
        flood = asyncio.ensure_future(client.send(request_bytes() * 500_000))
        count, is_reading = await waiting
        assert count < 10_000
        assert not is_reading
        assert not flood.done()
        flood.cancel()
        await asyncio.wait([flood])
        assert simulator.stats.total == 1


async def test_a_head_may_come_in_pieces() -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        for byte in request_bytes("/api/work?fault=ok@1", "X-Other: yes"):
            await client.send(bytes((byte,)))
        assert (await client.read_answer())[1] == b'{"time":1}'


async def test_the_body_of_a_request_is_skipped() -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        await client.send(request_bytes("/api/work", "Content-Length: 5") + b"hello" + request_bytes())
        assert await client.read(2 * len(ANSWER)) == 2 * ANSWER


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET /api/work HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /" + b"a" * MAX_REQUEST_BYTES,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_is_not_http_is_refused_and_the_connection_closed(data: bytes) -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        await client.send(data)
        head, _ = await client.read_answer()
        assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"Connection: close" in head
        await simulator.until(lambda stats: stats.connections_open == 0)


async def test_what_comes_before_nonsense_is_answered_first() -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        await client.send(request_bytes("/api/work?fault=ok@5") + b"nonsense\r\n\r\n")
        assert (await client.read_answer())[1] == b'{"time":5}'
        assert (await client.read_answer())[0].startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "request_", [request_bytes("/api/work", "Connection: close"), b"GET /api/work HTTP/1.0\r\n\r\n"]
)
async def test_a_client_that_wants_the_connection_closed_gets_it(request_: bytes) -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        await client.send(request_)
        head, body = await client.read_answer()
        assert b"Connection: close" in head
        assert body == b'{"time":0}'
        assert await client.read_to_end() == (b"", Ending.FIN)


async def test_a_client_that_leaves_cancels_its_timer() -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        await client.ask("/api/work?fault=ok@100000")
        await simulator.until(lambda stats: stats.in_flight == 1)
        (connection,) = simulator._connections._members
        timer = connection._timer  # type: ignore[attr-defined] # the protocol has less than the class
        client.leave()
        stats = await simulator.until(lambda stats: stats.connections_open == 0)
        assert timer.cancelled()
        assert (stats.in_flight, stats.clients_left) == (0, 1)


async def test_a_client_that_leaves_between_requests_is_not_counted_as_having_left() -> None:
    async with running_simulator() as simulator, connected(simulator.url) as client:
        await client.ask()
        await client.read_answer()
        client.leave()
        assert (await simulator.until(lambda stats: stats.connections_open == 0)).clients_left == 0


async def test_other_answers_and_stats_over_one_connection() -> None:
    async with running_simulator(log=True) as simulator, connected(simulator.url) as client:
        await client.ask("/nowhere")
        assert (await client.read_answer())[0].startswith(b"HTTP/1.1 404 ")
        await client.ask("/api/work", method="DELETE")
        assert (await client.read_answer())[0].startswith(b"HTTP/1.1 405 ")
        await client.ask("/api/work", "X-Request-Id: abc", "Hedgerow-Attempt: 2")
        await client.read_answer()
        await client.ask("/log")
        (entry,) = json.loads((await client.read_answer())[1])
        assert entry == {"n": 1, "request_id": "abc", "attempt": 2, "fault": "ok", "body": '{"time":0}'}
        await client.ask("/stats")
        stats = json.loads((await client.read_answer())[1])
        assert (stats["total"], stats["in_flight"], stats["connections_open"]) == (1, 0, 1)


async def replay(simulator: Simulator, count: int) -> list[tuple[str, str | None]]:
    for _ in range(count):
        async with connected(simulator.url) as client:
            await client.ask()
            await client.read(1)
    return [(entry.fault, entry.body) for entry in simulator.log()]


async def test_a_seed_is_replayed_over_the_wire() -> None:
    behaviour = Behaviour(latency_ms=(0, 5), error_rate=0.3, reset_rate=0, hang_rate=0, seed=11)
    async with (
        running_simulator(behaviour, log=True) as first,
        running_simulator(behaviour, log=True) as second,
    ):
        assert await replay(first, 40) == await replay(second, 40)
        assert first.stats.by_fault.keys() >= {"ok", "error"}
