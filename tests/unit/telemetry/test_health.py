import pytest

from hedgerow.telemetry.health import State, Workers, assess
from hedgerow.telemetry.snapshot import Snapshot

ALL_WELL = Workers(wanted=2, ready=2)


def counts(
    success: int = 0,
    failed: int = 0,
    *,
    served: int = 0,
    unserved: int = 0,
    shed: int = 0,
    in_flight: int = 0,
) -> Snapshot:
    return Snapshot(
        attempts={"1": {"success": success}, "2": {"status_5xx": failed}},
        requests={"success": served, "out_of_time": unserved, "overloaded": shed},
        shed={"lag": shed},
        in_flight=in_flight,
    )


@pytest.mark.parametrize(
    ("counted", "workers", "state", "reason"),
    [
        (
            counts(85, 15, served=99, unserved=1),
            ALL_WELL,
            State.HEALTHY,
            "85 % of 100 attempts and 99 % of 100 requests succeeded in the last 30 s.",
        ),
        (
            counts(38, 62, served=95, unserved=5),
            ALL_WELL,
            State.FAILING,
            "62 % of 100 attempts failed in the last 30 s, most by status_5xx.",
        ),
        (
            counts(5, 0, served=1, unserved=9),
            ALL_WELL,
            State.FAILING,
            (
                "90 % of 10 requests got no success in the last 30 s,"
                " though 100 % of attempts succeeded: too slow for the timeouts given."
            ),
        ),
        (
            counts(0, 0, unserved=9),
            ALL_WELL,
            State.FAILING,
            "100 % of 9 requests got no success in the last 30 s.",
        ),
        (
            counts(74, 26, served=100),
            ALL_WELL,
            State.DEGRADED,
            "26 % of 100 attempts failed in the last 30 s, most by status_5xx.",
        ),
        (
            counts(90, 10, served=94, unserved=6),
            ALL_WELL,
            State.DEGRADED,
            "6 % of 100 requests got no success in the last 30 s.",
        ),
        (
            counts(90, 10, served=99, shed=1),
            ALL_WELL,
            State.DEGRADED,
            "1 % of requests were refused in the last 30 s: the gateway is overloaded.",
        ),
        (
            counts(90, 10, served=100),
            Workers(2, 2, untold=1),
            State.DEGRADED,
            "1 of 2 workers do not tell their counts.",
        ),
        (counts(), Workers(2, 1), State.DEGRADED, "1 of 2 workers serve."),
        (counts(9), Workers(2, 0), State.FAILING, "No worker serves: callers are not answered."),
        (
            counts(),
            ALL_WELL,
            State.SILENT,
            "Nobody asked in the last 30 s, so nothing is known about the upstream.",
        ),
        (
            counts(0, 4, unserved=2),
            ALL_WELL,
            State.SILENT,
            "4 attempts ended in the last 30 s, 4 of them failed: too few to judge.",
        ),
        (
            counts(1, in_flight=7),
            ALL_WELL,
            State.SILENT,
            "7 requests waiting; 1 attempt ended in the last 30 s.",
        ),
        (
            counts(9_999, 1, served=9_999, unserved=1),
            ALL_WELL,
            State.HEALTHY,
            "99.9 % of 10000 attempts and 99.9 % of 10000 requests succeeded in the last 30 s.",
        ),
    ],
)
def test_the_verdict_and_its_reason(counted: Snapshot, workers: Workers, state: State, reason: str) -> None:
    verdict = assess(counted, 30.0, workers, losers_cut=False)
    assert (verdict.state, verdict.reason) == (state, reason)


def test_losers_that_were_cut_off_say_nothing_about_the_upstream() -> None:
    cut = Snapshot(attempts={"1": {"timeout": 60, "success": 40}}, requests={"success": 100})
    assert assess(cut, 30.0, ALL_WELL, losers_cut=False).state is State.FAILING
    assert assess(cut, 30.0, ALL_WELL, losers_cut=True).state is State.HEALTHY
