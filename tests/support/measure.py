"""Prints what the worker model gets done: `PYTHONPATH=src:tests python -m support.measure`."""

from collections.abc import Sequence

from support.clients import Second
from support.machine import COMPILED, PLAIN, TLS, Disturbance
from support.worker_model import WorkerModel

CAPACITY = {COMPILED: 13_000, PLAIN: 10_200}


def total(seconds: Sequence[Second], outcome: str) -> int:
    """Return how many requests ended so."""
    return sum(getattr(second, outcome) for second in seconds)


def report(name: str, model: WorkerModel, begin: int, end: int) -> None:
    """Run to `end`, and print the seconds from `begin` on."""
    model.run_until(end)
    first, last = model.clients.seconds[:begin], model.clients.seconds[begin:end]
    good = [second.good for second in last]
    print(  # noqa: T201 - a program that prints
        f"{name:42s} before {begin} s: {total(first, 'rejected'):6d} rejected; then each second: good "
        f"{sum(good) / len(good):6.0f} ({min(good)} to {max(good)}), rejected "
        f"{total(last, 'rejected') / len(last):6.0f}; late in all {total(first + last, 'late')}",
        flush=True,
    )


def main() -> None:
    """Run each scenario on a machine of the measured speed."""
    for costs, build in ((COMPILED, "compiled"), (PLAIN, "plain")):
        for load in (1, 1.2, 1.5, 2, 3):
            model = WorkerModel(costs)
            model.clients.add_open_loop(0.5 * CAPACITY[costs], 0, 1)
            model.clients.add_open_loop(load * CAPACITY[costs], 1, 7)
            report(f"{build}, open loop, {load} of capacity", model, 3, 7)
        for clients, timeout_s in (
            (600, 10.0),
            (4_000, 10.0),
            (8_000, 10.0),
            (2_000, 0.9),
            (4_000, 0.9),
            (8_000, 0.8),
        ):
            model = WorkerModel(costs)
            model.clients.add_closed_loop(clients, timeout_s)
            report(f"{build}, {clients} clients, timeout {timeout_s}", model, 3, 6)
        for name, one in (
            ("stopped 0.5 s", Disturbance(2, 0.5)),
            ("shared 2 s", Disturbance(2, 2, shares_core=True)),
        ):
            model = WorkerModel(costs, disturbances=[one])
            model.clients.add_open_loop(0.8 * CAPACITY[costs], 0, 8)
            report(f"{build}, open loop, 0.8, {name}", model, 6, 8)
    for clients, timeout_s in ((600, 0.8), (600, 10.0), (2_000, 0.8), (2_000, 10.0)):
        model = WorkerModel(TLS)
        model.clients.add_closed_loop(clients, timeout_s)
        report(f"TLS, {clients} clients, timeout {timeout_s}", model, 10, 13)


if __name__ == "__main__":
    main()
