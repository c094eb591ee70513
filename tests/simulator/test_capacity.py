import pytest

from hedgerow_simulator.capacity import Capacity, CapacityError, Disturbance, parse_disturbance


def test_a_disturbance_is_three_numbers() -> None:
    assert parse_disturbance("60:10:0.5", word="SHARE", most=1) == Disturbance(60.0, 10.0, 0.5)
    assert parse_disturbance("0.5:0.25:3", word="FACTOR", most=10) == Disturbance(0.5, 0.25, 3.0)


@pytest.mark.parametrize(
    "text", ["", "60", "60:10", "60:10:1.1", "60:10:-1", "60:10:half", " 60:10:1", "60:10:1:1", "٦:1:1", "1e3:1:1",
             "86401:1:1", "1:86401:1", "nan:1:1", "1:1:"],
)  # fmt: skip
def test_anything_else_is_named_with_what_is_accepted(text: str) -> None:
    with pytest.raises(CapacityError, match="is not AT:FOR:SHARE: seconds from the start") as raised:
        parse_disturbance(text, word="SHARE", most=1)
    assert repr(text) in str(raised.value)
    assert str(raised.value).endswith("a number from 0 to 1")


@pytest.mark.parametrize(
    ("name", "capacity"),
    [("--queue", {"queue": 0}), ("--notices-leaving", {"notices_leaving": True}),
     ("--dip", {"dips": (Disturbance(1.0, 1.0, 0.5),)})],
)  # fmt: skip
def test_what_is_about_workers_needs_a_number_of_them(name: str, capacity: dict[str, object]) -> None:
    with pytest.raises(
        CapacityError, match=f"^{name} is about workers and their queue: give --capacity N, too$"
    ):
        Capacity(**capacity)  # type: ignore[arg-type] # as parametrized
    assert not Capacity(workers=1, **capacity).is_unlimited  # type: ignore[arg-type] # as parametrized


def test_what_plays_nothing_is_unlimited() -> None:
    assert Capacity().is_unlimited
    assert not Capacity(slow=(Disturbance(1.0, 1.0, 2.0),)).is_unlimited
