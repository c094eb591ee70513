"""Find words that the glossary does not have, in names and prose: `tools/words.txt` has each and what to say instead.

Every tracked text is read whole, code and comments alike. Names are read as the words that they are made of, and
phrases also where they go on in the next line.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
UNREAD = (
    "tools/words.txt",
    "tests/docs/test_words.py",  # shows what is found
    "verification/results/",  # what was measured under the names of then, as the page that is made from it
    "docs/verification/results.md",
    "bench/results/",
)
CORPUS = re.compile(r"(^|/)corp(us|ora)(/|$)")
CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
NEXT_LINE = re.compile(r"\n[^\S\n]*(?:#+|//+|\*+|>+|--)?[^\S\n]*")


def read_words(text: str) -> dict[str, str]:
    """Return what to say instead of each unwanted word or phrase; a line reads `old -> new`."""
    return dict(line.split(" -> ", 1) for line in text.splitlines())


WORDS = read_words((ROOT / "tools/words.txt").read_text())
UNWANTED = re.compile(
    r"(?<![a-z0-9])("
    + "|".join(r"\s+".join(map(re.escape, words.split())) for words in sorted(WORDS, key=len, reverse=True))
    + r")(?![a-z0-9])",
    re.IGNORECASE,
)


def unwanted(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line, from 1, and the lower-case spelling of each unwanted word or phrase of a text."""
    text = NEXT_LINE.sub("\n", CAMEL_CASE.sub(" ", text.replace("_", " ")))
    for found in UNWANTED.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, " ".join(found[1].lower().split())


def is_read(name: str) -> bool:
    """Return whether the file of this name, relative to the repository, has to use the words of the glossary."""
    return not (name.startswith(UNREAD) or CORPUS.search(name))


def check(root: Path) -> list[str]:
    """Return a line for each unwanted word in the contents and names of a repository's tracked files.

    Raises:
        OSError, subprocess.CalledProcessError: There is no git, or `root` is no repository.

    """
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True)  # noqa: S607 - git is where PATH says
    lines = []
    for name in filter(is_read, listed.stdout.split("\0")[:-1]):
        lines += [f"{name}: its name has {word!r}: say {WORDS[word]!r}" for _, word in unwanted(name)]
        path = root / name
        if path.is_symlink() or not path.is_file() or b"\0" in (content := path.read_bytes()):
            continue  # deleted but not yet committed, or no text
        found = unwanted(content.decode(errors="replace"))
        lines += [f"{name}:{line}: {word!r}: say {WORDS[word]!r}" for line, word in found]
    return lines


if __name__ == "__main__":
    if problems := check(ROOT):
        sys.exit("\n".join(problems))
