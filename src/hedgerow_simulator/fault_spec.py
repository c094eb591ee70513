"""The grammar by which a request selects its behaviour.

It is `NAME[@LATENCY_MS]`, or a script of those, one for each attempt.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import parse_qsl

from hedgerow_simulator.faults import KINDS, Fault, UnknownFaultError, find
from hedgerow_simulator.limits import (
    MAX_LATENCY_MS,
    MAX_SPEC_BYTES,
    QUERY_FIELDS,
    SCRIPT_ENTRIES,
    SPEC_CACHE_ENTRIES,
)

_QUOTED_CHARACTERS = 64
"""Of an invalid value that the response quotes."""

_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)

FIRST_ATTEMPT = 1


@dataclass(frozen=True, slots=True)
class RandomLatency:
    """No latency was given: a random one is used."""


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A behaviour that a request has selected."""

    fault: Fault
    latency_ms: int | RandomLatency


@dataclass(frozen=True, slots=True)
class InvalidSpec:
    """An invalid value; `text` is the body of a 400, and names what is accepted."""

    text: str


Script: TypeAlias = tuple[FaultSpec, ...]
"""What each attempt gets, in order; the last entry holds for all further ones. Empty: none was given."""


def parse_spec(text: str) -> FaultSpec | InvalidSpec:
    """Read one `NAME[@LATENCY_MS]`."""
    name, at, latency = text.partition("@")
    try:
        fault = find(name)
    except UnknownFaultError:
        return InvalidSpec(f"there is no fault {_quoted(name)}; there are: {' '.join(KINDS)} (NNN: 200-999)")
    if not at:
        return FaultSpec(fault, RandomLatency())
    if not _DIGITS.fullmatch(latency) or int(latency) > MAX_LATENCY_MS:
        return InvalidSpec(
            f"the latency {_quoted(latency)} of {name} is not whole ms from 0 to {MAX_LATENCY_MS}"
        )
    return FaultSpec(fault, int(latency))


def parse_script(text: str) -> Script | InvalidSpec:
    """Read `NAME[@LATENCY_MS],NAME[@LATENCY_MS],...`."""
    entries = text.split(",", SCRIPT_ENTRIES)
    if len(entries) > SCRIPT_ENTRIES:
        return InvalidSpec(f"a script has at most {SCRIPT_ENTRIES} entries")
    script: list[FaultSpec] = []
    for entry in entries:
        spec = parse_spec(entry)
        if isinstance(spec, InvalidSpec):
            return spec
        script.append(spec)
    return tuple(script)


def read_script(header: bytes, query: bytes) -> Script | InvalidSpec:
    """Read the `X-Fault` header of a request if there is one, else `fault=` or `script=` in its query."""
    if len(header) + len(query) > MAX_SPEC_BYTES:
        return InvalidSpec(f"X-Fault and the query have more than {MAX_SPEC_BYTES} bytes")
    return _read_script(header, query)


@lru_cache(maxsize=SPEC_CACHE_ENTRIES)  # a load test sends the same one with each request
def _read_script(header: bytes, query: bytes) -> Script | InvalidSpec:
    if header:
        return _script_of_one(header.decode("latin-1"))
    try:
        fields = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=QUERY_FIELDS)
    except ValueError:
        return InvalidSpec(f"the query has more than {QUERY_FIELDS} parameters")
    given = [(name, value) for name, value in fields if name in ("fault", "script")]
    match given:
        case []:
            return ()
        case [("fault", value)]:
            return _script_of_one(value)
        case [("script", value)]:
            return parse_script(value)
        case _:
            return InvalidSpec("give one: either fault=NAME[@LATENCY_MS] or script=NAME[@LATENCY_MS],...")


def read_attempt(header: bytes) -> int | InvalidSpec:
    """Read the number in `Hedgerow-Attempt`, from 1; a request without it is a first attempt."""
    if not header:
        return FIRST_ATTEMPT
    text = header.decode("latin-1")
    if not _DIGITS.fullmatch(text) or int(text) < FIRST_ATTEMPT:
        return InvalidSpec(f"Hedgerow-Attempt: {_quoted(text)} is not a whole number from {FIRST_ATTEMPT}")
    return int(text)


def entry_for(script: Script, attempt: int) -> FaultSpec:
    """Choose the entry of a script, which is not empty, for this attempt; beyond its end, the last."""
    return script[min(attempt, len(script)) - 1]


def _script_of_one(text: str) -> Script | InvalidSpec:
    spec = parse_spec(text)
    return spec if isinstance(spec, InvalidSpec) else (spec,)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _QUOTED_CHARACTERS else text[:_QUOTED_CHARACTERS] + "...")
