from verification.harness.results import PAGE, RECORDS, render


def test_the_page_is_made_from_the_results() -> None:
    assert list(RECORDS.glob("*.json"))
    assert PAGE.read_text() == render(), "run a campaign at full size, which renews the page"
