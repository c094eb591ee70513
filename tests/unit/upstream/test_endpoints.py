from collections import Counter
from math import inf

import pytest

from hedgerow.net.tcp import Address
from hedgerow.upstream.addresses import LOOKUP_PAUSE_S, AddressList

TTL_S = 30.0


def v4(name: str) -> Address:
    return (2, 1, 6, "", (name, 80))


def v6(name: str) -> Address:
    return (10, 1, 6, "", (name, 80, 0, 0))


A, B, C, D = v4("a"), v4("b"), v4("c"), v4("d")


def of(*addresses: Address) -> AddressList:
    listed = AddressList(TTL_S)
    listed.set(addresses, 100.0)
    return listed


def names(listed: AddressList, *tried: Address) -> str:
    return "".join(address[4][0] for address in listed.candidates(tried))


# -- which address is next


def test_u01_one_address_is_always_the_one() -> None:
    listed = of(A)
    listed.failed(A)
    assert [names(listed), names(listed, A)] == ["a", "a"]


def test_no_address_before_the_first_lookup() -> None:
    assert list(AddressList(TTL_S).candidates(())) == []


def test_u01_addresses_are_used_in_turn() -> None:
    listed = of(A, B, C)
    assert [names(listed) for _ in range(4)] == ["abc", "bca", "cab", "abc"]


def test_d1_an_address_that_another_attempt_has_tried_comes_after_the_others() -> None:
    listed = of(A, B, C)
    for _ in range(6):
        assert names(listed, A)[-1] == "a"
        assert names(listed, A, B)[0] == "c"


@pytest.mark.parametrize("hedges", [1, 2])
def test_d1_attempts_of_one_request_go_to_different_addresses_and_load_all_alike(hedges: int) -> None:
    listed = of(A, B, C)
    used: Counter[Address] = Counter()
    by_number: Counter[tuple[int, Address]] = Counter()
    for _ in range(60):
        tried: list[Address] = []
        for number in range(1 + hedges):
            tried.append(listed.candidates(tried)[0])
            by_number[number, tried[-1]] += 1
        assert len(set(tried)) == 1 + hedges
        used.update(tried)
    assert set(used.values()) == {60 * (1 + hedges) // 3}
    assert {by_number[0, address] for address in (A, B, C)} == {20}


def test_d1_two_hedges_that_start_together_go_to_different_addresses() -> None:
    """Neither is connected when the other starts, so neither is among those tried."""
    listed = of(A, B, C)
    for _ in range(5):
        assert {names(listed, A)[0], names(listed, A)[0]} == {"b", "c"}


def test_more_attempts_than_addresses_use_all_again() -> None:
    listed = of(A, B)
    assert {names(listed, A, B) for _ in range(2)} == {"ab", "ba"}


# -- RFC 8305 section 4


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ((v6("p"), v6("q"), v4("a"), v4("b")), "paqb"),
        ((v4("a"), v4("b"), v6("p"), v6("q")), "apbq"),
        ((v6("p"), v4("a"), v4("b"), v4("c")), "pabc"),
        ((v6("p"), v6("q"), v6("r"), v4("a")), "paqr"),
        ((v6("p"), v6("q")), "pq"),
    ],
)
def test_u01_families_alternate(addresses: tuple[Address, ...], expected: str) -> None:
    assert names(of(*addresses)) == expected


def test_u01_families_alternate_from_whatever_address_has_its_turn() -> None:
    listed = of(v6("p"), v6("q"), v4("a"), v4("b"))
    assert [names(listed) for _ in range(4)] == ["paqb", "qapb", "apbq", "bpaq"]


# -- addresses that fail


def test_d1_an_address_that_failed_comes_last_even_after_one_that_was_tried() -> None:
    """`localhost` is ::1 and 127.0.0.1, and one of them listens: hedges shall not go where nothing is."""
    local6, local4 = v6("6"), v4("4")
    listed = of(local6, local4)
    listed.failed(local6)
    assert [names(listed), names(listed), names(listed, local4)] == ["46", "46", "46"]


def test_addresses_that_did_not_fail_share_the_load_alike() -> None:
    listed = of(A, B, C)
    listed.failed(A)
    assert Counter(names(listed)[0] for _ in range(10)) == {"b": 5, "c": 5}


def test_an_address_that_connects_after_all_has_its_turn_again() -> None:
    listed = of(A, B)
    listed.failed(A)
    listed.connected(A)
    assert {names(listed)[0] for _ in range(2)} == {"a", "b"}


def test_when_every_address_has_failed_they_are_used_in_turn() -> None:
    listed = of(A, B)
    listed.failed(A)
    listed.failed(B)
    assert [names(listed) for _ in range(3)] == ["ab", "ba", "ab"]


def test_after_the_next_lookup_one_connect_tries_a_failed_address_again() -> None:
    """A blackholed address costs each connect 250 ms: only one shall pay that in 30 s, not all that start meanwhile."""
    listed = of(A, B)
    listed.failed(A)
    listed.set((A, B), 130.0)
    firsts = [names(listed)[0] for _ in range(8)]
    assert firsts.count("a") == 1


def test_a_failed_address_that_was_tried_again_and_connected_is_as_good_as_the_others() -> None:
    listed = of(A, B)
    listed.failed(A)
    listed.set((A, B), 130.0)
    while names(listed)[0] != "a":
        pass
    listed.connected(A)
    assert Counter(names(listed)[0] for _ in range(8)) == {"a": 4, "b": 4}


def test_an_address_that_the_name_has_lost_and_got_back_starts_afresh() -> None:
    listed = of(A, B)
    listed.failed(A)
    listed.set((B,), 130.0)
    listed.set((A, B), 160.0)
    assert Counter(names(listed)[0] for _ in range(8)) == {"a": 4, "b": 4}


# -- when to look up


def test_u04_the_first_lookup_is_due_at_once() -> None:
    assert AddressList(TTL_S).next_lookup_at <= 0.0


def test_u04_a_name_is_looked_up_each_30_s() -> None:
    listed = of(A)
    assert listed.next_lookup_at == 130.0


def test_d4_a_lookup_that_fails_leaves_the_addresses_and_is_repeated_soon() -> None:
    listed = of(A)
    listed.keep(130.0)
    assert (listed.all, listed.is_current(A), listed.generation) == ((A,), True, 0)
    assert listed.next_lookup_at == 130.0 + LOOKUP_PAUSE_S


def test_u04_a_connect_that_fails_brings_the_next_lookup_forward() -> None:
    listed = of(A)
    listed.failed(A)
    assert listed.next_lookup_at == 100.0 + LOOKUP_PAUSE_S


def test_u04_a_connect_that_fails_does_not_put_off_a_lookup() -> None:
    listed = AddressList(0.5)
    listed.set((A,), 100.0)
    listed.failed(A)
    assert listed.next_lookup_at == 100.5


def test_an_address_without_a_name_is_never_looked_up() -> None:
    listed = AddressList(inf)
    listed.set((A,), 100.0)
    listed.failed(A)
    assert listed.next_lookup_at == inf


# -- membership


def test_d3_an_address_that_the_name_has_lost_is_no_longer_current() -> None:
    listed = of(A, B)
    listed.set((B, C), 130.0)
    assert [listed.is_current(address) for address in (A, B, C)] == [False, True, True]
    assert listed.generation == 1


@pytest.mark.parametrize("later", [(A, B), (B, A), (A, B, C)])
def test_d3_the_generation_stays_where_no_address_was_lost(later: tuple[Address, ...]) -> None:
    listed = of(A, B)
    listed.set(later, 130.0)
    assert listed.generation == 0


def test_d3_a_connect_to_an_address_that_was_lost_meanwhile_says_nothing_of_the_others() -> None:
    listed = of(A, B)
    listed.set((B, C), 130.0)
    listed.failed(A)
    listed.connected(A)
    assert Counter(names(listed)[0] for _ in range(4)) == {"b": 2, "c": 2}
