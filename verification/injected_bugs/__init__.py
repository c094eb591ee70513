"""Bugs to put into copies of the gateway: each edit is quoted by its source lines, and names what must find it."""

from verification.injected_bugs.admission import ADMISSION
from verification.injected_bugs.bug import Bug
from verification.injected_bugs.clients import CLIENTS
from verification.injected_bugs.eventloop import EVENT_LOOP
from verification.injected_bugs.hold import HOLD
from verification.injected_bugs.parsing import PARSING
from verification.injected_bugs.processes import PROCESSES
from verification.injected_bugs.race import RACE
from verification.injected_bugs.routes import ROUTES
from verification.injected_bugs.supervision import SUPERVISION
from verification.injected_bugs.upstream import UPSTREAM

BUGS: tuple[Bug, ...] = (
    *PARSING,
    *CLIENTS,
    *UPSTREAM,
    *RACE,
    *ROUTES,
    *HOLD,
    *EVENT_LOOP,
    *ADMISSION,
    *PROCESSES,
    *SUPERVISION,
)
