"""What must hold in every simulation, from what clients, upstream and kernel saw; where only the worker can know when
something was decided, from what its pool and recorder were called with.
"""

from prove.simulation.answer_invariants import check_answers
from prove.simulation.attempt_invariants import check_attempts
from prove.simulation.destination_invariants import check_destinations
from prove.simulation.evidence import Evidence, Report
from prove.simulation.simulation import Played
from prove.simulation.worker_invariants import check_worker


def check(seed: str, played: Played, report: Report) -> None:
    """Check all invariants; `report` is called with each that is broken."""
    evidence = Evidence(seed, played, report)
    check_attempts(evidence)
    check_destinations(evidence)
    check_answers(evidence)
    check_worker(evidence)
