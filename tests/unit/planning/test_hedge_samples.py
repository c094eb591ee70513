"""The newest samples are kept, and forgotten by the clock."""

from hedgerow.planning.hedge_samples import MAX_SAMPLES, HedgeSamples
from hedgerow.planning.latency_sketch import CUT, FAILURE, SUCCESS


def test_samples_are_as_they_were_added() -> None:
    samples = HedgeSamples()
    samples.add(0.3, [(0.512, SUCCESS), (0.25, FAILURE)], 10.0)
    samples.add(0.2, [(0.5, CUT), (0.125, SUCCESS), (0.75, SUCCESS), (9.0, FAILURE)], 11.0)
    assert samples.within(60.0, 12.0) == [
        (0.3, ((0.512, SUCCESS), (0.25, FAILURE), (0.0, CUT))),
        (0.2, ((0.5, CUT), (0.125, SUCCESS), (0.75, SUCCESS))),
    ]


def test_the_newest_are_kept() -> None:
    samples = HedgeSamples()
    for number in range(MAX_SAMPLES + 3):
        samples.add(float(number), [], 1.0)
    assert sorted(delay_s for delay_s, _ in samples.within(60.0, 1.0)) == [
        float(number) for number in range(3, MAX_SAMPLES + 3)
    ]


def test_old_ones_are_left_out() -> None:
    samples = HedgeSamples()
    for at in (1.0, 50.0, 100.0):
        samples.add(at, [], at)
    assert [delay_s for delay_s, _ in samples.within(60.0, 105.0)] == [50.0, 100.0]
    assert samples.within(1e9, 90_000.0) == []
