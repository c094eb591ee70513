"""The documents use the words of the glossary: `tools/words.txt` has what they do not say, and what to say instead."""

import re
from pathlib import Path

import pytest

from docs.markdown import DOCUMENTS, ROOT

WORDS: dict[str, str] = dict(
    line.split(" -> ", 1) for line in (ROOT / "tools/words.txt").read_text().splitlines()
)
UNWANTED = re.compile(r"\b(" + "|".join(map(re.escape, WORDS)) + r")\b", re.IGNORECASE)
CODE = re.compile(r"`[^`\n]+`")
WRITTEN = [
    path
    for path in DOCUMENTS
    if path.name != "results.md"  # names of what ran then
]


def unwanted(text: str) -> list[str]:
    """Return the unwanted words of a text, names in code apart, each with what to say instead."""
    prose = " ".join(CODE.sub("", text).split())
    return [f"{word!r}: {WORDS[word.lower()]}" for word in UNWANTED.findall(prose)]


@pytest.mark.parametrize("document", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_uses_the_words_of_the_glossary(document: Path) -> None:
    assert unwanted(document.read_text()) == []


def test_an_unwanted_word_is_found_across_lines() -> None:
    assert unwanted("Of\nlate the Callers left.") == ["'Of late': recently", "'Callers': clients"]
