"""Settings that cannot be used: one line for the operator."""

from datetime import date, time
from typing import Final

from hedgerow.settings.redaction import redacted_url

MAX_QUOTED_CHARACTERS: Final = 160
"""Of a value in a message; the longest that is useful fits, and the message stays one line on a screen."""


class SettingsError(Exception):
    """What was set cannot be used. Its text is one line for the operator."""


class InvalidSetting(SettingsError):  # noqa: N818 (the operator's error; its base has the suffix)
    """A setting that cannot be used. Its text is one line that names the setting, the value and what is accepted."""

    def __init__(self, setting: str, given: object, accepted: str) -> None:
        super().__init__(f"{setting}: {quoted(given)} is not accepted; give {accepted}")


class UnknownSetting(SettingsError):  # noqa: N818
    """A name that is no setting's. Its text is one line with the nearest name that is."""

    def __init__(
        self,
        name: str,
        where: str,
        known: list[str],
        otherwise: str = "`hedgerow serve --help` lists all",
        kind: str = "setting",
    ) -> None:
        """`otherwise` is the hint where no known name is near; `kind` is what it is no name of."""
        from difflib import get_close_matches  # noqa: PLC0415 (5 ms, for a start that fails)

        near = get_close_matches(name, known, n=1) or get_close_matches(name.upper(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else otherwise
        place = f"{where}: " if where else ""
        super().__init__(f"{place}{quoted(name)} is no {kind}; {hint}")


def quoted(value: object) -> str:
    """Return a value as messages show it: on one line, of bounded length, secrets of URLs redacted."""
    if isinstance(value, bool):
        return "true" if value else "false"  # as TOML has it
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "an array"
    if isinstance(value, int) and value.bit_length() > 8 * MAX_QUOTED_CHARACTERS:
        return f"a number of {value.bit_length()} bits"  # in decimal it may be more than Python converts
    if isinstance(value, date | time):
        return value.isoformat()  # as TOML has it
    text = repr(redacted_url(value) if isinstance(value, str) else value)
    return text if len(text) <= MAX_QUOTED_CHARACTERS else f"{text[:MAX_QUOTED_CHARACTERS]}…"
