"""The faults by name.

One fault is one function in a module of this package; its docstring says how it is done.

`FAULTS` is all that the rest of the server knows of them; `status_NNN` stands for 800 faults and is found
by `find`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from hedgerow_simulator.faults import bodies, connections, framings, statuses
from hedgerow_simulator.wire_script import WireScript

SUCCESSES: tuple[Callable[[bytes], WireScript], ...] = (
    framings.ok,
    framings.chunked,
    framings.read_to_close,
    framings.close_after,
    framings.early_hints,
    framings.drip,
)
"""Valid answers with the good body, however it travels."""

FAILURES: tuple[Callable[[bytes], WireScript], ...] = (
    statuses.error,
    statuses.too_many,
    statuses.overloaded,
    statuses.no_content,
    statuses.redirect,
    bodies.truncated,
    bodies.not_json,
    bodies.wrong_type,
    bodies.gzip,
    bodies.bad_chunk,
    bodies.huge,
    connections.reset,
    connections.hang,
    connections.close,
    connections.half_head,
    connections.long_head,
    connections.endless_1xx,
)
"""The faults that a client must not accept as a success."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to answer. `kind` is the name that it is counted under: all of `status_NNN` count as one."""

    name: str
    kind: str
    succeeds: bool
    wire: Callable[[bytes], WireScript]


FAULTS: Mapping[str, Fault] = {
    function.__name__: Fault(function.__name__, function.__name__, function in SUCCESSES, function)
    for function in SUCCESSES + FAILURES
}

ANY_STATUS = "status_NNN"
_ANY_STATUS_NAME = re.compile(r"status_([2-9][0-9]{2})", re.ASCII)

KINDS: tuple[str, ...] = (*FAULTS, ANY_STATUS)
"""Every name that a request can be counted under."""


class UnknownFaultError(LookupError):
    """No fault has this name."""


def find(name: str) -> Fault:
    """Find the fault of this name, `status_200` to `status_999` among them. Raises `UnknownFaultError`."""
    if name in FAULTS:
        return FAULTS[name]
    match = _ANY_STATUS_NAME.fullmatch(name)
    if match is None:
        raise UnknownFaultError(name)
    status = int(match[1])
    return Fault(name, ANY_STATUS, succeeds=status == 200, wire=partial(statuses.any_status, status))
