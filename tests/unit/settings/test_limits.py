import pytest

from hedgerow.settings import DescriptorBudget, InvalidSetting


@pytest.mark.parametrize("descriptors", [1_024, 20_000, 1_048_576])
@pytest.mark.parametrize("hedges", [0, 1, 2, 16])
def test_the_budget_never_promises_more_sockets_than_there_are(descriptors: int, hedges: int) -> None:
    budget = DescriptorBudget.of(descriptors, hedges)
    assert budget.max_in_flight >= 1
    assert budget.max_clients >= budget.max_in_flight
    assert budget.max_upstream_connections == budget.max_in_flight * (1 + hedges)
    rejected = budget.max_rejected - DescriptorBudget.REJECTED_IN_RESERVE
    assert 0 <= rejected <= budget.MAX_REJECTED
    spent = budget.max_clients + rejected + budget.max_upstream_connections + DescriptorBudget.RESERVE
    assert spent <= descriptors


def test_two_workers_of_20_000_descriptors_serve_8_000_requests_at_once() -> None:
    assert 2 * DescriptorBudget.of(20_000, 2).max_in_flight >= 8_000


def test_a_cap_that_the_descriptors_cannot_hold_is_rejected() -> None:
    with pytest.raises(InvalidSetting, match=r"^HEDGEROW_MAX_IN_FLIGHT: 225 .* at most 224: 1024 files"):
        DescriptorBudget.of(1_024, 2, 225, setting="HEDGEROW_MAX_IN_FLIGHT")
    assert DescriptorBudget.of(1_024, 2, 224).max_in_flight == 224


@pytest.mark.parametrize("hedges", [0, 1, 2, 3, 16])
def test_too_few_descriptors_for_one_request_are_rejected_with_how_many_would_do(hedges: int) -> None:
    with pytest.raises(InvalidSetting, match="limit of open files") as caught:
        DescriptorBudget.of(64, hedges)
    least = int(str(caught.value).partition("at least ")[2].partition(",")[0])
    assert DescriptorBudget.of(least, hedges).max_in_flight == 1
    with pytest.raises(InvalidSetting):
        DescriptorBudget.of(least - 1, hedges)
