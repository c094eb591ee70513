from random import Random

import pytest

from hedgerow.settings import DescriptorBudget, InvalidSetting


@pytest.mark.parametrize("descriptors", [1_024, 20_000, 1_048_576])
@pytest.mark.parametrize("hedges", [0, 1, 2, 16])
def test_the_budget_never_promises_more_sockets_than_there_are(descriptors: int, hedges: int) -> None:
    budget = DescriptorBudget.of(descriptors, hedges)
    assert budget.max_in_flight >= 1
    assert budget.max_clients >= budget.max_in_flight
    assert budget.attempts == 1 + hedges
    rejected = budget.max_rejected - DescriptorBudget.REJECTED_IN_RESERVE
    assert 0 <= rejected <= budget.MAX_REJECTED
    assert budget.clients_beside(budget.max_in_flight) >= budget.max_in_flight
    spent = budget.max_in_flight * budget.attempts + budget.clients_beside(budget.max_in_flight) + rejected
    assert spent + DescriptorBudget.RESERVE <= descriptors


@pytest.mark.parametrize("descriptors", [1_024, 20_000, 1_048_576])
@pytest.mark.parametrize("hedges", [0, 2, 16])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_in_any_order_of_events_there_is_a_descriptor_for_each_attempt(
    descriptors: int, hedges: int, share: float
) -> None:
    """Clients connect and leave, requests start and end, and rejected connections linger, in any order."""
    most = DescriptorBudget.of(descriptors, hedges).max_in_flight
    budget = DescriptorBudget.of(descriptors, hedges, max(1, int(most * share)) if share else None)
    random = Random(descriptors + hedges)
    clients = in_flight = 0
    most_clients = 0
    for _ in range(3_000):
        step = random.randrange(1, max(2, budget.max_clients // 3))
        match random.choice(("connect", "leave", "start", "end")):
            case "connect":
                clients = max(
                    clients, min(clients + step, budget.clients_beside(in_flight) + budget.max_rejected)
                )
            case "leave":
                clients = max(0, clients - step)
            case "start":
                in_flight = max(in_flight, min(in_flight + step, budget.in_flight_beside(clients)))
            case "end":
                in_flight = max(0, in_flight - step)
        assert budget.upstream_beside(clients) >= in_flight * budget.attempts
        assert (
            clients + in_flight * budget.attempts <= descriptors - budget.RESERVE + budget.REJECTED_IN_RESERVE
        )
        if in_flight == 0:
            most_clients = max(most_clients, clients)
    assert most_clients > budget.clients_beside(budget.max_in_flight), (
        "the walk has come to where they compete"
    )
    crowd = budget.max_clients + budget.max_rejected
    assert budget.in_flight_beside(crowd) >= budget.max_in_flight * budget.GUARANTEED_SHARE


def test_two_workers_of_20_000_descriptors_serve_8_000_requests_at_once() -> None:
    assert 2 * DescriptorBudget.of(20_000, 2).max_in_flight >= 8_000


def test_a_cap_that_the_descriptors_cannot_hold_is_rejected() -> None:
    with pytest.raises(InvalidSetting, match=r"^HEDGEROW_MAX_IN_FLIGHT: 219 .* at most 218: 1024 files"):
        DescriptorBudget.of(1_024, 2, 219, setting="HEDGEROW_MAX_IN_FLIGHT")
    assert DescriptorBudget.of(1_024, 2, 218).max_in_flight == 218


@pytest.mark.parametrize("hedges", [0, 1, 2, 3, 16])
def test_too_few_descriptors_for_one_request_are_rejected_with_how_many_would_do(hedges: int) -> None:
    with pytest.raises(InvalidSetting, match="limit of open files") as caught:
        DescriptorBudget.of(64, hedges)
    least = int(str(caught.value).partition("at least ")[2].partition(",")[0])
    assert DescriptorBudget.of(least, hedges).max_in_flight == 1
    with pytest.raises(InvalidSetting):
        DescriptorBudget.of(least - 1, hedges)
