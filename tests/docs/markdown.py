"""The documents, as text."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("verification/*.md"), *ROOT.glob("bench/*.md"),
    ]
)  # fmt: skip

TARGETS = {
    name
    for names in re.findall(r"^([a-z][a-z -]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for name in names.split()
}
"""Of the Makefile."""

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


def links(document: Path) -> list[str]:
    """Return the targets of its links and pictures, in order; those in code are none."""
    return _LINK.findall(_FENCED.sub("", document.read_text()))


def anchors(document: Path) -> set[str]:
    """Return the names that its headings have as targets of links, as GitHub makes them."""
    headings = _HEADING.findall(_FENCED.sub("", document.read_text()))
    return {_NOT_IN_ANCHORS.sub("", heading.lower()).replace(" ", "-") for heading in headings}


def table(document: Path, heading: str, number: int = 0) -> list[list[str]]:
    """Return a table below a heading of level 2, by default the first, without its head, cell by cell."""
    _, _, below = document.read_text().partition(f"\n## {heading}\n")
    section = below.partition("\n## ")[0]
    rows = [block.splitlines()[2:] for block in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)][number]
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in rows]
