"""Every link within the repository leads somewhere, and every document is reached from the README."""

from pathlib import Path

import pytest

from docs.markdown import DOCUMENTS, ROOT, anchors, links

README = ROOT / "README.md"
MAX_README_LINES = 110
MAX_CLICKS = 2
DISCUSSED = [
    "docs/reference/http-api.md#case-by-case",
    "docs/explanation/overload.md#how-many-requests-at-once",
    "docs/explanation/overload.md",
    "docs/guides/scaling.md#resources",
    "docs/reference/limits.md",
    "docs/explanation/when-not-to-use.md",
]
"""What the assignment asks to be discussed: behaviour, concurrent requests, overload, resources, limits."""


def targets(document: Path) -> list[tuple[Path, str]]:
    """Return the files of this repository that a document links to, each with its anchor, or an empty one."""
    found = []
    for link in links(document):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            found.append(((document.parent / path).resolve() if path else document, anchor))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target, anchor in targets(document):
        assert target.exists(), target
        assert target.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(target), f"{target}#{anchor}"


def test_every_document_is_two_clicks_from_the_readme() -> None:
    reached, newest = {README}, {README}
    for _ in range(MAX_CLICKS):
        newest = {target for page in newest if page.suffix == ".md" for target, _ in targets(page)} - reached
        reached |= newest
    records = set((ROOT / "docs/decisions").glob("0*.md"))  # one click more, by their index
    assert {path.relative_to(ROOT) for path in set(DOCUMENTS) - records - reached} == set()
    assert records <= {target for target, _ in targets(ROOT / "docs/decisions/README.md")}


@pytest.mark.parametrize("page", DISCUSSED)
def test_what_is_to_be_discussed_is_one_click_away(page: str) -> None:
    assert page in links(README)


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= MAX_README_LINES
