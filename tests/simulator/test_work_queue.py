"""Workers and their queue as timelines, in exact virtual milliseconds."""

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count

import pytest

from hedgerow_simulator.capacity import Capacity, Disturbance
from hedgerow_simulator.stats import SharedCounters, StatsCounter
from hedgerow_simulator.work_queue import Job, WorkQueue


class Bench:
    """A queue, its clock, and the instants in ms at which requests were answered."""

    def __init__(self, capacity: Capacity) -> None:
        self.now_ms = 0
        self.counts = StatsCounter(SharedCounters(1), 0)
        self.answered: dict[str, int] = {}
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = count()
        self.queue = WorkQueue(capacity, self.counts, self._call_later)

    def _call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        heappush(self._timers, (self.now_ms + round(seconds * 1000), next(self._numbers), callback))

    def ask(self, name: str, service_ms: int) -> Job:
        return self.queue.submit(service_ms / 1000, partial(self._answer, name))

    def _answer(self, name: str) -> None:
        self.answered[name] = self.now_ms

    def run(self, until_ms: int) -> None:
        while self._timers and self._timers[0][0] <= until_ms:
            self.now_ms, _, callback = heappop(self._timers)
            callback()
        self.now_ms = until_ms

    @property
    def occupied(self) -> tuple[int, int, int]:
        stats = self.counts.stats()
        return stats.busy, stats.queued, stats.wasted


def test_requests_wait_for_a_worker_in_the_order_in_which_they_came() -> None:
    bench = Bench(Capacity(workers=2))
    for name, service_ms in (("a", 300), ("b", 100), ("c", 100), ("d", 100)):
        bench.ask(name, service_ms)
    assert bench.occupied == (2, 2, 0)
    bench.run(250)
    assert bench.occupied == (2, 0, 0)
    bench.run(1_000)
    assert bench.answered == {"b": 100, "c": 200, "a": 300, "d": 300}
    assert bench.occupied == (0, 0, 0)


def test_work_whose_client_has_left_occupies_a_worker_to_its_end() -> None:
    bench = Bench(Capacity(workers=1))
    running, queued = bench.ask("running", 100), bench.ask("queued", 100)
    bench.ask("last", 100)
    bench.queue.leave(running)
    bench.queue.leave(queued)
    assert bench.occupied == (1, 2, 0)
    bench.run(150)
    assert bench.occupied == (1, 1, 1)
    bench.run(1_000)
    assert bench.answered == {"last": 300}
    assert bench.occupied == (0, 0, 2)


def test_a_server_that_notices_drops_the_work_of_clients_who_have_left() -> None:
    bench = Bench(Capacity(workers=1, notices_leaving=True))
    running, queued = bench.ask("running", 100), bench.ask("queued", 100)
    bench.ask("last", 100)
    bench.run(50)
    bench.queue.leave(queued)
    assert bench.occupied == (1, 1, 0)
    bench.queue.leave(running)
    assert bench.occupied == (1, 0, 0)
    bench.run(1_000)
    assert bench.answered == {"last": 150}
    assert bench.occupied == (0, 0, 0)


@pytest.mark.parametrize("places", [0, 1, 3])
def test_it_is_full_when_workers_and_places_are_taken(places: int) -> None:
    bench = Bench(Capacity(workers=2, queue=places))
    for number in range(2 + places):
        assert not bench.queue.is_full
        bench.ask(str(number), 100)
    assert bench.queue.is_full
    bench.run(100)
    assert not bench.queue.is_full


def test_places_of_work_that_was_dropped_are_free() -> None:
    bench = Bench(Capacity(workers=1, queue=1, notices_leaving=True))
    bench.ask("running", 100)
    queued = bench.ask("queued", 100)
    assert bench.queue.is_full
    bench.queue.leave(queued)
    assert not bench.queue.is_full


def test_in_a_dip_running_work_goes_on_and_nothing_more_begins_than_is_left() -> None:
    bench = Bench(Capacity(workers=2, dips=(Disturbance(0.1, 1.0, 0.5),)))
    bench.ask("a", 200)
    bench.ask("b", 300)
    bench.run(150)
    bench.ask("c", 100)
    bench.run(250)
    assert bench.occupied == (1, 1, 0)
    bench.run(1_050)
    assert bench.answered == {"a": 200, "b": 300, "c": 400}


def test_an_outage_ends_with_the_queue_and_not_with_the_next_request() -> None:
    bench = Bench(Capacity(workers=2, dips=(Disturbance(0.1, 1.0, 0.0),)))
    bench.run(150)
    bench.ask("a", 100)
    assert bench.occupied == (0, 1, 0)
    bench.run(2_000)
    assert bench.answered == {"a": 1_200}


def test_a_slow_spell_multiplies_what_begins_in_it() -> None:
    bench = Bench(Capacity(workers=1, slow=(Disturbance(0.05, 0.1, 3.0),)))
    bench.ask("before", 100)
    bench.ask("within", 100)
    bench.run(120)
    bench.ask("after", 100)
    bench.run(2_000)
    assert bench.answered == {"before": 100, "within": 400, "after": 500}


def test_disturbances_that_overlap_multiply() -> None:
    spans = (Disturbance(0.0, 1.0, 0.5), Disturbance(0.0, 0.5, 0.5))
    bench = Bench(Capacity(workers=4, dips=spans))
    bench.run(0)
    for number in range(4):
        bench.ask(str(number), 2_000)
    assert bench.occupied == (1, 3, 0)
    bench.run(500)
    assert bench.occupied == (2, 2, 0)
    bench.run(1_000)
    assert bench.occupied == (4, 0, 0)


def test_without_a_number_of_workers_nothing_is_queued() -> None:
    bench = Bench(Capacity(slow=(Disturbance(0.0, 1.0, 2.0),)))
    bench.run(0)
    for number in range(1_000):
        bench.ask(str(number), 100)
    assert bench.occupied == (1_000, 0, 0)
    bench.run(200)
    assert len(bench.answered) == 1_000
