"""The pictures and reports of docs/guides/should-i-hedge.md are what `hedgerow plan` gives."""

import pytest

from docs.markdown import ROOT
from tools.plan_pictures import EXAMPLES, IMAGES, picture, report

PAGE = (ROOT / "docs/guides/should-i-hedge.md").read_text()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_picture_is_up_to_date(name: str) -> None:
    assert (IMAGES / f"{name}.svg").read_text() == picture(name)
    assert f"(../images/{name}.svg)" in PAGE


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_the_page_quotes_is_what_is_printed(name: str) -> None:
    first, *lines = report(name).splitlines()
    assert f"    {first}\n" in PAGE
    for line in lines:
        if line.startswith("Note: "):
            assert f"    {line}\n" in PAGE
