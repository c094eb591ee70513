"""Bugs to put into copies of the gateway: each edit is quoted by its source lines, and names what must find it."""

from prove.injected_bugs.admission import ADMISSION
from prove.injected_bugs.bug import Bug
from prove.injected_bugs.clients import CLIENTS
from prove.injected_bugs.eventloop import EVENT_LOOP
from prove.injected_bugs.parsing import PARSING
from prove.injected_bugs.processes import PROCESSES
from prove.injected_bugs.race import RACE
from prove.injected_bugs.supervision import SUPERVISION
from prove.injected_bugs.upstream import UPSTREAM

BUGS: tuple[Bug, ...] = (
    *PARSING,
    *CLIENTS,
    *UPSTREAM,
    *RACE,
    *EVENT_LOOP,
    *ADMISSION,
    *PROCESSES,
    *SUPERVISION,
)
