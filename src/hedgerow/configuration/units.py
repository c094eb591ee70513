"""Readers of values with units: durations, sizes, statuses."""

import re
from dataclasses import dataclass
from typing import Final

from hedgerow.configuration.file import Place
from hedgerow.configuration.values import MAX_ELEMENTS, shown_text

_UNITS_US: Final = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
_DURATION: Final = r"([0-9]{1,9})(?:\.([0-9]{1,6}))?(ms|s|m|h)"
DAY_MS: Final = 86_400_000


def _microseconds(text: str) -> int | None:
    """Return a duration, or None if it is none or is not a whole number of microseconds."""
    match = re.fullmatch(_DURATION, text)
    if match is None:
        return None
    whole, fraction, unit = match.groups(default="")
    scaled = int(whole + fraction) * _UNITS_US[unit]
    result, rest = divmod(scaled, 10 ** len(fraction))
    return None if rest else result


def shown_duration(microseconds: int) -> str:
    """Return a duration as people write it: `300ms`, `1.5s`, `2m`."""
    for unit in ("h", "m"):
        if microseconds and microseconds % _UNITS_US[unit] == 0:
            return f"{microseconds // _UNITS_US[unit]}{unit}"
    unit = "s" if microseconds >= 1_000_000 and microseconds % 100_000 == 0 else "ms"
    whole, rest = divmod(microseconds, _UNITS_US[unit])
    digits = len(str(_UNITS_US[unit])) - 1
    return f"{whole}{f'.{rest:0{digits}d}'.rstrip('0') if rest else ''}{unit}"


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration: in seconds, or as a whole number of milliseconds."""

    least_ms: int
    most_ms: int = DAY_MS
    in_ms: bool = False

    @property
    def accepted(self) -> str:
        least, most = shown_duration(self.least_ms * 1_000), shown_duration(self.most_ms * 1_000)
        whole = " in whole milliseconds" if self.in_ms else ""
        return f'a duration{whole} like "300ms", "1.5s" or "2m", from {least} to {most}'

    def read(self, value: object, place: Place) -> float:
        found = _microseconds(value) if isinstance(value, str) else None
        if found is None or not self.least_ms * 1_000 <= found <= self.most_ms * 1_000:
            raise place.reject(value, self.accepted)
        if self.in_ms and found % 1_000:
            raise place.reject(value, self.accepted)
        return found // 1_000 if self.in_ms else found / 1_000_000

    def show(self, value: float) -> str:
        return shown_text(shown_duration(round(value * (1_000 if self.in_ms else 1_000_000))))


_SIZES: Final = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2}


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes."""

    least: int
    most: int

    @property
    def accepted(self) -> str:
        most = shown_size(self.most)
        return f'a size like "64KiB", "1MiB" or 1000, of {self.least} bytes to {most}'

    def read(self, value: object, place: Place) -> int:
        size = value
        if isinstance(value, str):
            match = re.fullmatch(r"([0-9]{1,12})(B|KiB|MiB)", value)
            size = int(match[1]) * _SIZES[match[2]] if match else None
        if isinstance(size, int) and not isinstance(size, bool) and self.least <= size <= self.most:
            return size
        raise place.reject(value, self.accepted)

    def show(self, value: int) -> str:
        text = shown_size(value)
        return text if text.isdigit() else shown_text(text)


def shown_size(size: int) -> str:
    """Return a number of bytes as people write it: `64KiB`, `1000`."""
    unit = next((unit for unit in ("MiB", "KiB") if size and size % _SIZES[unit] == 0), "")
    return f"{size // _SIZES[unit]}{unit}"


@dataclass(frozen=True, slots=True)
class Statuses:
    """Status codes, as ranges: `2xx`, `404`, `400-407`. Not 1xx: those are no answers."""

    least: int = 0
    accepted: str = 'an array like ["2xx", "404", "409-428"], of statuses from 200 to 599'

    def read(self, value: object, place: Place) -> tuple[tuple[int, int], ...]:
        if not isinstance(value, list) or not self.least <= len(value) <= MAX_ELEMENTS:
            raise place.reject(value, self.accepted)
        return tuple(self._range(one, place.at(position)) for position, one in enumerate(value))

    def _range(self, value: object, place: Place) -> tuple[int, int]:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        match = re.fullmatch(
            r"([2-5])xx|([2-5][0-9]{2})(?:-([2-5][0-9]{2}))?", text if isinstance(text, str) else ""
        )
        if match is not None:
            hundred, first, last = match.groups()
            if hundred:
                return int(hundred) * 100, int(hundred) * 100 + 99
            if int(first) <= int(last or first):
                return int(first), int(last or first)
        raise place.reject(value, '"2xx", "404" or "409-428", of statuses from 200 to 599')

    def show(self, value: tuple[tuple[int, int], ...]) -> str:
        return f"[{', '.join(shown_text(shown_range(*one)) for one in value)}]"


def shown_range(first: int, last: int) -> str:
    """Return a range of statuses as people write it: `2xx`, `404`, `400-407`."""
    if first % 100 == 0 and last == first + 99:
        return f"{first // 100}xx"
    return str(first) if first == last else f"{first}-{last}"
