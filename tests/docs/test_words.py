"""The repository uses the words of the glossary: `tools/words.txt` has the others, and what to say instead."""

import subprocess
from pathlib import Path

import pytest

from docs.markdown import ROOT
from tools.words import WORDS, check, is_read, unwanted


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git repository, so no list of tracked files")
def test_every_tracked_file_uses_the_words_of_the_glossary() -> None:
    assert check(ROOT) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("it is Told", ["told"]),
        ("def tell_all(): ...", ["tell"]),
        ("class CallersLeft: ...", ["callers"]),
        ("untoldByMe = letIn", ["untold", "let in"]),
        ("# What happened of\n    # late is kept", ["of late"]),
        ("// closed at\n\t// the most once", ["at the most"]),
        ("the upstream of record", ["upstream of record"]),
        ("foretold, intelligent, retell, letter in, Callersburg", []),
        ("the last letter.\nIn it", []),
    ],
)
def test_names_and_phrases_are_found_and_longer_words_are_not(text: str, found: list[str]) -> None:
    assert [word for _, word in unwanted(text)] == found
    assert all(word in WORDS for word in found)


def test_a_line_is_that_of_the_file() -> None:
    assert list(unwanted("a\n\n# b\n  # told\n")) == [(4, "told")]


def test_what_was_written_under_other_names_is_not_read() -> None:
    unread = ["verification/results/C08.json", "tests/x/corpus/1"]
    assert [is_read(name) for name in unread] == [False] * 2
    assert all(map(is_read, ["src/hedgerow/cli.py", "docs/decisions/0016-admission.md", "README.md"]))


def test_contents_and_names_of_tracked_files_are_checked_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "mended.py").write_text("told = 1\n\nclass X: '''Whoever it was.'''\n")
    (tmp_path / "picture").write_bytes(b"\0told")
    (tmp_path / "untracked.py").write_text("told = 1\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "mended.py", "picture"], cwd=tmp_path, check=True)
    assert check(tmp_path) == [
        "mended.py: its name has 'mended': say 'repaired'",
        "mended.py:1: 'told': say 'returned, reported'",
        "mended.py:3: 'whoever': say 'the client, the worker'",
    ]
