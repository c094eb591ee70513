"""What clients leave to requests and to upstreams, and the reverse; the law of the budget itself: test_limits.py."""

from hedgerow.admission.controller import AdmissionController
from hedgerow.processes.descriptor_sharing import DescriptorSharing
from hedgerow.settings import DescriptorBudget
from hedgerow.upstream.connection_budget import ConnectionBudget
from unit.admission.requests import WaitingRequest

BUDGET = DescriptorBudget.of(20_000, 2)
EQUAL = BUDGET.clients_beside(BUDGET.max_in_flight)
"""Clients beside whom as many requests may be in flight as ever."""


class Bench:
    def __init__(self) -> None:
        self.admission = AdmissionController(BUDGET.max_in_flight, adapts=False)
        self.connections = ConnectionBudget(BUDGET.connections)
        self.admissions = 0
        self.sharing = self.sharing_for(self.admission)

    def sharing_for(self, admission: AdmissionController) -> DescriptorSharing:
        return DescriptorSharing(BUDGET, admission, self.connections, self.request_admission)

    def request_admission(self) -> None:
        self.admissions += 1

    def start(self, number: int) -> None:
        for _ in range(number):
            assert self.admission.admit_or_queue(WaitingRequest(1.0), 0.0)


def test_clients_beyond_those_that_all_requests_may_have_take_from_requests() -> None:
    bench = Bench()
    seen = []
    for clients in (0, EQUAL, EQUAL + 30, BUDGET.max_clients):
        bench.sharing.set_clients(clients)
        seen.append(bench.admission.max_in_flight)
        assert bench.admission.is_crowded == (clients > EQUAL)
    assert seen[:2] == [BUDGET.max_in_flight] * 2
    assert seen[2] == BUDGET.max_in_flight - 10
    assert seen[3] >= BUDGET.max_in_flight * BUDGET.GUARANTEED_SHARE
    bench.sharing.set_clients(0)
    assert bench.admission.max_in_flight == BUDGET.max_in_flight


def test_requests_in_flight_take_from_clients() -> None:
    bench = Bench()
    assert bench.sharing.max_clients() == BUDGET.max_clients
    bench.start(BUDGET.max_in_flight)
    assert bench.sharing.max_clients() == EQUAL


def test_it_is_crowded_where_clients_keep_requests_from_starting() -> None:
    bench = Bench()
    seen = []
    for clients, in_flight in (
        (BUDGET.max_clients, 0),
        (BUDGET.max_clients, bench.admission.max_in_flight),
        (0, 0),
    ):
        bench.sharing.set_clients(clients)
        bench.start(min(in_flight, bench.admission.max_in_flight))
        seen.append(bench.sharing.is_crowded())
    assert seen == [False, True, False], "the last: as many are in flight as ever may be"


def test_where_a_client_found_no_room_requests_wait_briefly() -> None:
    bench = Bench()
    bench.admission = AdmissionController(0)
    bench.sharing = bench.sharing_for(bench.admission)
    for is_brief in (False, True):
        request = WaitingRequest(0.0)
        assert not bench.admission.admit_or_queue(request, 1.0)
        bench.admission.limit_wait(request, 1.0, 0.8, 0.0, 1.0)
        assert request.waits_briefly == is_brief
        bench.admission.leave(request)
        bench.sharing.client_rejected(1.0)


def test_a_request_that_waits_starts_once_clients_have_left() -> None:
    bench = Bench()
    bench.sharing.set_clients(BUDGET.max_clients)
    bench.start(bench.admission.max_in_flight)
    waiting = WaitingRequest(1.0)
    assert not bench.admission.admit_or_queue(waiting, 0.0)
    assert bench.admissions == 0
    bench.sharing.set_clients(EQUAL)
    assert bench.admissions == 1
    assert bench.admission.next_admitted(0.0) is waiting
    bench.sharing.set_clients(BUDGET.max_clients)
    bench.sharing.set_clients(EQUAL)
    assert bench.admissions == 1, "none waits"
