"""What an injected bug is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    """One edit of one source file, and what must find it."""

    name: str
    file: str
    """Below `src/hedgerow`."""
    right: str
    wrong: str
    found_by: str
    """A campaign, as in `C02`; or a test file or test."""
    share: float = 0.0
    """Of the campaign's full size."""

    @property
    def is_found_by_tests(self) -> bool:
        return self.found_by.startswith("tests/")
