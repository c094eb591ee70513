"""The simulator: an HTTP server that imitates the reference upstream, with faults.

It imports nothing of `hedgerow`.

As a command it is `hedgerow simulate`, or `python -m hedgerow_simulator`. In a test it runs in the test's
own loop:

    async with running_simulator(Behaviour.faultless(latency_ms=20), log=True) as simulator:
        ...  # send requests to simulator.url, e.g. with the header `X-Fault: error@50`
        await simulator.until(lambda stats: stats.in_flight == 0)
        assert simulator.stats.by_fault == {"error": 1}
        assert simulator.log()[0].fault == "error"

Paths: `GET /api/work` with `{"time":160}` after that many ms, `GET /stats`, and `GET
/log?after=N`. A request selects its own behaviour by the header `X-Fault: NAME[@LATENCY_MS]`, by
`?fault=` with the same, or by `?script=` with a comma-separated list, of which the header
`Hedgerow-Attempt: N` chooses the N-th entry, or the last. `FAULTS` are the names, and whether each is a
success; there are also `status_200` to `status_999`.

The modules, from pure ones to I/O: `wire_script` (steps as data), `faults`, `behaviour`, `fault_sampler`,
`fault_spec` (the grammar above), `stats`, `request_log`, `upstream` (chooses the response), then `connection`,
`connection_registry`, `simulator` (a server), `listen`, `workers` (processes) and `cli`. All limits are in
`limits`.
"""

from hedgerow_simulator.behaviour import Behaviour, BehaviourError
from hedgerow_simulator.faults import FAULTS, Fault
from hedgerow_simulator.request_log import LogEntry
from hedgerow_simulator.simulator import Simulator, running_simulator
from hedgerow_simulator.stats import Stats

__all__ = [
    "FAULTS",
    "Behaviour",
    "BehaviourError",
    "Fault",
    "LogEntry",
    "Simulator",
    "Stats",
    "running_simulator",
]
