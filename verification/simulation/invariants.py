"""What must hold in every simulation, from what clients, upstream and kernel saw; where only the worker can know when
something was decided, from what its pool and recorder were called with.
"""

from verification.simulation.answer_invariants import check_answers
from verification.simulation.attempt_invariants import check_attempts
from verification.simulation.destination_invariants import check_destinations
from verification.simulation.evidence import Evidence, Report
from verification.simulation.routed_invariants import check_routed
from verification.simulation.simulation import Played
from verification.simulation.worker_invariants import check_worker


def check(seed: str, played: Played, report: Report) -> None:
    """Check all invariants; `report` is called with each that is broken."""
    evidence = Evidence(seed, played, report)
    check_attempts(evidence)
    check_destinations(evidence)
    check_answers(evidence)
    check_routed(evidence)
    check_worker(evidence)
