"""What THIRD-PARTY.md says of packages, for tests of the package and of the image."""

from pathlib import Path

_TEXT = (Path(__file__).parents[2] / "THIRD-PARTY.md").read_text()


def normal(name: str) -> str:
    """Return the name of a package as THIRD-PARTY.md has it."""
    return name.replace("_", "-").lower()


def has_our_notice(name: str) -> bool:
    """Return whether the copyright notice of a package that ships no licence text is in THIRD-PARTY.md."""
    return f"\n- {name}: Copyright (c) " in _TEXT
