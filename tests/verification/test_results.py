import pytest

from verification.harness.results import PAGE, RECORDS, merged, render


def test_the_page_is_made_from_the_results() -> None:
    assert list(RECORDS.glob("*.json"))
    assert PAGE.read_text() == render(), "run a campaign at full size, which renews the page"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["98.1% of 10"], "98.1% of 10"),
        (["9% of 10", "98.1% of 10", "97% of 10"], "9 to 98.1% of 10"),
        (["lost 2 s, recovery inf s", "lost 1 s, recovery 3 s"], "lost 1 to 2 s, recovery 3 to inf s"),
        (["1 late", "none late"], "1 late / none late"),
    ],
)
def test_a_figure_of_several_rounds_has_its_least_and_its_greatest(texts: list[str], expected: str) -> None:
    assert merged(texts) == expected
