import json

import pytest

from hedgerow_simulator import Behaviour
from hedgerow_simulator.capacity import Capacity
from hedgerow_simulator.stats import SharedCounters, StatsCounter
from hedgerow_simulator.upstream import Answer, Request, Upstream
from hedgerow_simulator.work_queue import WorkQueue


def upstream(behaviour: Behaviour | None = None, *, index: int = 0, log: bool = False) -> Upstream:
    return Upstream(
        behaviour or Behaviour.faultless(),
        StatsCounter(SharedCounters(index + 1), index),
        index=index,
        log=log,
    )


def ask(target: bytes = b"/api/work", method: bytes = b"GET", **headers: bytes) -> Request:
    return Request(method, target, **headers)  # type: ignore[arg-type] # keep_alive is not among them


def status(answer: Answer) -> bytes:
    assert isinstance(answer.wire, bytes)
    return answer.wire[9:12]


def body(answer: Answer) -> bytes:
    assert isinstance(answer.wire, bytes)
    return answer.wire.partition(b"\r\n\r\n")[2]


def test_work_takes_the_drawn_latency_and_reports_it() -> None:
    answer = upstream(Behaviour.faultless(latency_ms=160)).answer(ask())
    assert (status(answer), body(answer), answer.after_ms) == (b"200", b'{"time":160}', 160)


@pytest.mark.parametrize(
    "target", [b"/", b"/api/work/", b"/api", b"*", b"http://simulator/api/work", b"/stat?s"]
)
def test_another_path_is_not_found(target: bytes) -> None:
    assert status(upstream().answer(ask(target))) == b"404"


@pytest.mark.parametrize("method", [b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS"])
def test_another_method_is_not_allowed(method: bytes) -> None:
    answer = upstream().answer(ask(method=method))
    assert status(answer) == b"405"
    assert isinstance(answer.wire, bytes)
    assert b"\r\nAllow: GET\r\n" in answer.wire


@pytest.mark.parametrize(
    "request_",
    [
        ask(fault=b"nope"),
        ask(b"/api/work?fault=nope"),
        ask(b"/api/work?script=ok,nope"),
        ask(attempt=b"0"),
        ask(b"/api/work?script=ok", attempt=b"one"),
    ],
)
def test_what_cannot_be_understood_is_a_400_at_once_and_not_counted(request_: Request) -> None:
    played = upstream(Behaviour.faultless(latency_ms=100))
    answer = played.answer(request_)
    assert (status(answer), answer.after_ms, answer.is_work) == (b"400", 0, False)
    assert played.counts.stats().total == 0


def test_a_script_is_played_by_the_number_of_the_attempt() -> None:
    played = upstream(log=True)
    for attempt in (b"3", b"1", b"2", b"9", b""):
        played.answer(ask(b"/api/work?script=hang,error@50,ok@100", attempt=attempt))
    assert [entry.fault for entry in played.log.after(0)] == ["ok", "hang", "error", "ok", "hang"]


def test_asked_faults_do_not_shift_the_draws_of_the_others() -> None:
    plain, mixed = upstream(Behaviour(seed=5), log=True), upstream(Behaviour(seed=5), log=True)
    waits = []
    for n in range(400):
        wanted = plain.answer(ask()).after_ms
        asked = n % 3 == 1
        got = mixed.answer(ask(fault=b"ok@1") if asked else ask()).after_ms
        waits.append(got == (1 if asked else wanted))
    assert all(waits)
    names = [entry.fault for entry in plain.log.after(0)]
    assert [entry.fault for entry in mixed.log.after(0)] == [
        "ok" if n % 3 == 1 else name for n, name in enumerate(names)
    ]
    assert set(names) > {"ok", "error"}


def test_a_refused_request_takes_no_draw() -> None:
    plain, mixed = upstream(Behaviour(seed=5)), upstream(Behaviour(seed=5))
    mixed.answer(ask(fault=b"nope"))
    mixed.answer(ask(b"/stats"))
    assert mixed.answer(ask()).after_ms == plain.answer(ask()).after_ms


def test_unique_bodies_carry_a_token_that_no_other_request_has() -> None:
    behaviour = Behaviour.faultless(latency_ms=160, unique=True)
    first, second = upstream(behaviour), upstream(behaviour, index=1)
    bodies = [body(played.answer(ask())) for played in (first, first, second, second)]
    tokens = [json.loads(each)["token"] for each in bodies]
    assert len(set(tokens)) == 4
    assert [token.partition("-")[0] for token in tokens] == ["1", "2", "1", "2"]
    assert bodies[0] == b'{"time":160,"token":"%b"}' % tokens[0].encode()


def test_the_log_joins_what_was_sent_with_what_arrived() -> None:
    played = upstream(log=True)
    played.answer(ask(fault=b"ok@7", request_id=b"r-1", attempt=b"2"))
    played.answer(ask(fault=b"status_503@8"))
    played.answer(ask(fault=b"chunked@9", request_id=b"\xff"))
    assert json.loads(body(played.answer(ask(b"/log")))) == [
        {"n": 1, "request_id": "r-1", "attempt": 2, "fault": "ok", "body": '{"time":7}'},
        {"n": 2, "request_id": None, "attempt": None, "fault": "status_503", "body": None},
        {"n": 3, "request_id": "ÿ", "attempt": None, "fault": "chunked", "body": '{"time":9}'},
    ]
    assert [entry["n"] for entry in json.loads(body(played.answer(ask(b"/log?after=2"))))] == [3]


def test_the_log_has_to_be_asked_for_and_asked_well() -> None:
    assert status(upstream().answer(ask(b"/log"))) == b"404"
    assert status(upstream(log=True).answer(ask(b"/log?after=x"))) == b"400"


def test_stats_count_every_kind() -> None:
    played = upstream()
    for fault in (b"ok", b"status_503", b"status_504", b"hang"):
        played.answer(ask(fault=fault))
    assert json.loads(body(played.answer(ask(b"/stats")))) == {
        "total": 4,
        "in_flight": 4,
        "by_fault": {"ok": 1, "hang": 1, "status_NNN": 2},
        "connections_accepted": 0,
        "connections_open": 0,
        "clients_left": 0,
        "busy": 0,
        "queued": 0,
        "wasted": 0,
    }


def test_a_full_queue_is_a_503_at_once_that_takes_its_draw() -> None:
    def times(played: Upstream) -> list[bytes]:
        return [body(played.answer(ask())) for _ in range(4)]

    free, full = (upstream(Behaviour.faultless(latency_ms=(1, 1_000), seed=3)) for _ in range(2))
    full.queue = WorkQueue(Capacity(workers=1, queue=0), full.counts, lambda _seconds, _callback: None)
    full.queue.submit(1.0, lambda: None)
    answer = full.answer(ask())
    assert (status(answer), answer.after_ms, answer.is_work, answer.needs_worker) == (b"503", 0, True, False)
    assert full.counts.stats().by_fault == {"overloaded": 1}
    free.answer(ask())
    full.queue = None
    assert times(full) == times(free)
