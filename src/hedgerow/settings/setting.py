"""The settings of `Settings` as rows: each one's names, default and meaning, and which values it accepts."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from hedgerow.settings.errors import InvalidSetting
from hedgerow.settings.hosts import is_host, is_ipv6
from hedgerow.settings.schema import Settings
from hedgerow.settings.upstream_url import EMBEDDED, parse_target

AUTO: Final = "auto"
"""What `workers` and `max_in_flight` are where they are not set: chosen at the start, by what the machine has."""


class Setting(NamedTuple):
    """One setting."""

    name: str
    """Of the field: `drain_ms`."""
    kind: Any
    """Its type, for msgspec."""
    is_number: bool
    takes_auto: bool
    default: str
    """As it would be written."""
    description: str
    accepted: str
    """For people: `a whole number from 0 to 16`."""

    @property
    def key(self) -> str:
        """Its name in the file."""
        return self.name.replace("_", "-")

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--{self.key}"

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return f"HEDGEROW_{self.name.upper()}"


@cache
def all_settings() -> dict[str, Setting]:
    """Return the settings by the names of their fields, in the order in which they are described."""
    hints = get_type_hints(Settings, include_extras=True)
    defaults = Settings()
    found = ((name, _row(name, kind, getattr(defaults, name))) for name, kind in hints.items())
    return {name: row for name, row in found if row is not None}


def convert(setting: Setting, given: object, source: str) -> Any:
    """Return the value of a setting that `source` gave, or `AUTO`; raises InvalidSetting.

    A text is read as the number that it is written as, so a value is accepted in the same cases whether it came as
    text, by a flag or a variable, or with a type, by the file.
    """
    if setting.takes_auto and given == AUTO:
        return AUTO
    value = _number(given) if setting.is_number and isinstance(given, str) else given
    try:
        converted = msgspec.convert(value, setting.kind)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter: bytes that are no UTF-8
        raise InvalidSetting(source, given, setting.accepted) from None
    if setting.name == "upstream" and converted != EMBEDDED:
        parse_target(converted, source)
    if setting.name.endswith("host") and not (is_host(converted) or is_ipv6(converted)):
        raise InvalidSetting(source, given, setting.accepted)
    return converted


_NUMBER: Final = r"-?(?:0|[1-9][0-9]{0,17})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?"
"""A decimal number as JSON has it, of a length that no setting exceeds; not all that int() and float() take."""


def _number(text: str) -> object:
    match = re.fullmatch(_NUMBER, text)
    if match is None:
        return text
    return float(text) if match[1] or match[2] else int(text)


def _row(name: str, kind: Any, default: Any) -> Setting | None:
    annotated = next((part for part in (kind, *get_args(kind)) if get_origin(part) is Annotated), None)
    if annotated is None:
        return None
    bare, *metas = get_args(annotated)
    facts = {**{key: value for meta in metas for key, value in _facts(meta)}}
    if "description" not in facts:
        return None
    takes_auto = "auto" in facts
    accepted = facts.get("accepted") or _accepted(bare, facts)
    return Setting(
        name=name,
        kind=annotated,
        is_number=bare in (int, float),
        takes_auto=takes_auto,
        default=AUTO if takes_auto else f"{default:g}" if isinstance(default, float) else str(default),
        description=facts["description"],
        accepted=f"{accepted}, or {AUTO}" if takes_auto else accepted,
    )


def _facts(meta: Meta) -> Iterable[tuple[str, Any]]:
    facts = {"ge": meta.ge, "le": meta.le, "description": meta.description, **(meta.extra or {})}
    return ((name, value) for name, value in facts.items() if value is not None)


def _accepted(kind: Any, facts: dict[str, Any]) -> str:
    if kind in (int, float):
        return f"a {'whole ' if kind is int else ''}number from {facts['ge']} to {facts['le']}"
    words = get_args(kind) or tuple(str(member) for member in kind)
    return f"{', '.join(words[:-1])} or {words[-1]}"
