"""The files, modules and targets that the documents name are there."""

import re
from pathlib import Path

import pytest

from docs.markdown import DOCUMENTS, ROOT, TARGETS

PLACES = [ROOT, ROOT / "src", ROOT / "src/hedgerow", ROOT / "tests", ROOT / "bench", ROOT / "verification"]
"""Where a name may begin."""
OURS = ("bench", "tools", "verification", "support", "hedgerow")
"""Packages whose modules the documents run."""
NOT_KEPT = ("bench/.cache", "site/", "dist/", "opt/")
"""What is made, not kept."""
WRITTEN = [path for path in DOCUMENTS if path.name != "results.md"]
PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|sh|yml|yaml|json|toml|md|txt|svg|service))`")
MODULE = re.compile(r"python3? -m ([\w.]+)")
TARGET = re.compile(r"`make ([a-z-]+)|^    make ([a-z-]+)", re.MULTILINE)


def is_there(name: str) -> bool:
    return any((place / name).exists() for place in PLACES)


@pytest.mark.parametrize("document", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(document: Path) -> None:
    text = document.read_text()
    paths = {name for name in PATH.findall(text) if not name.startswith(NOT_KEPT)}
    modules = {name.replace(".", "/") for name in MODULE.findall(text) if name.split(".")[0] in OURS}
    assert [
        name for name in sorted(paths) if not is_there(name) and not (document.parent / name).exists()
    ] == []
    assert [name for name in sorted(modules) if not is_there(f"{name}.py") and not is_there(name)] == []


@pytest.mark.parametrize("document", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_targets_of_a_document_are_in_the_makefile(document: Path) -> None:
    named = {one or other for one, other in TARGET.findall(document.read_text())}
    assert named <= TARGETS
