"""Each fault that the simulator knows, and what becomes of it in a race."""

import json

import pytest

from hedgerow.settings import UpstreamLimits
from hedgerow_simulator import FAULTS, running_simulator
from integration.conftest import Serve

OUTCOMES = {
    **{name: "success" for name, fault in FAULTS.items() if fault.succeeds},
    "error": "status_5xx",
    "too_many": "status_429",
    "overloaded": "status_5xx",
    "no_content": "status_other",
    "redirect": "status_other",
    "truncated": "bad_json",
    "not_json": "bad_json",
    "wrong_type": "bad_payload",
    "gzip": "bad_json",
    "bad_chunk": "protocol",
    "huge": "too_large",
    "reset": "reset",
    "hang": "pending",
    "close": "reset",
    "half_head": "reset",
    "long_head": "too_large",
    "endless_1xx": "too_large",
    "status_200": "success",
    "status_201": "status_other",
    "status_304": "status_other",
    "status_429": "status_429",
    "status_500": "status_5xx",
    "status_599": "status_5xx",
    "status_999": "status_other",
}


def test_every_fault_has_an_outcome() -> None:
    assert set(FAULTS) <= set(OUTCOMES)


@pytest.mark.parametrize(("fault", "outcome"), OUTCOMES.items())
async def test_what_becomes_of_each_fault(serve: Serve, fault: str, outcome: str) -> None:
    limits = UpstreamLimits(max_head_bytes=1024)  # so that the endless interim answers are too many soon
    timeout_ms = 500 if outcome == "pending" else 60_000
    async with running_simulator() as simulator:
        url = f"{simulator.url}?fault={fault}@7"
        served = await serve(url, hedges=0, upstream_limits=limits)
        status, _, body = await served.get(f"/api/smart?timeout={timeout_ms}")
        if outcome == "success":
            assert (status, body) == (200, b'{"time":7}')
        else:
            (attempt,) = json.loads(body)["attempts"]
            assert (status, attempt["outcome"]) == (504 if outcome == "pending" else 502, outcome)
        assert simulator.stats.total == 1


@pytest.mark.parametrize(
    ("script", "hedge_after_ms", "winner", "asked"),
    [
        ("ok@0,error@0,error@0", 60_000, 1, {"ok": 1}),
        ("error@0,ok@0,hang", 20, 2, {"error": 1, "ok": 1, "hang": 1}),
        ("hang,error@0,ok@0", 20, 3, {"hang": 1, "error": 1, "ok": 1}),
        ("reset@0,bad_chunk@0,chunked@0", 20, 3, {"reset": 1, "bad_chunk": 1, "chunked": 1}),
        ("ok@300,error@0", 20, 1, {"ok": 1, "error": 2}),
    ],
)
async def test_the_first_success_wins_whatever_the_others_do(
    serve: Serve, script: str, hedge_after_ms: int, winner: int, asked: dict[str, int]
) -> None:
    async with running_simulator() as simulator:
        served = await serve(f"{simulator.url}?script={script}", hedge_after_ms=hedge_after_ms)
        status, headers, _ = await served.get("/api/smart?timeout=60000")
        assert status == 200
        assert headers["server-timing"].endswith(f'winner;desc="{winner}"')
        stats = await simulator.until(lambda stats: stats.total == sum(asked.values()))
        assert stats.by_fault == asked


@pytest.mark.parametrize(
    ("script", "status", "outcomes"),
    [
        ("error@0,too_many@0,reset@0", 502, ["status_5xx", "status_429", "reset"]),
        ("hang,error@0,gzip@0", 504, ["pending", "status_5xx", "bad_json"]),
        ("hang", 504, ["pending", "pending", "pending"]),
    ],
)
async def test_without_a_success_each_attempt_is_reported(
    serve: Serve, script: str, status: int, outcomes: list[str]
) -> None:
    async with running_simulator() as simulator:
        served = await serve(f"{simulator.url}?script={script}", hedge_after_ms=20)
        given, _, body = await served.get("/api/smart?timeout=500")
        assert given == status
        assert [attempt["outcome"] for attempt in json.loads(body)["attempts"]] == outcomes
