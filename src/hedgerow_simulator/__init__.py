"""A testing server that stands in for the upstream of record, with faults. It imports nothing of
`hedgerow`.

As a command it is `hedgerow simulate`, or `python -m hedgerow_simulator`. In a test it runs in the test's
own loop:

    async with running_simulator(Behaviour.faultless(latency_ms=20), log=True) as simulator:
        ...  # send requests to simulator.url, e.g. with the header `X-Fault: error@50`
        await simulator.until(lambda stats: stats.in_flight == 0)
        assert simulator.stats.by_fault == {"error": 1}
        assert simulator.log()[0].fault == "error"

What it answers: `GET /api/work` with `{"time":160}` after that many ms, `GET /stats`, and `GET
/log?after=N`. One request asks for its own behaviour by the header `X-Fault: NAME[@LATENCY_MS]`, by
`?fault=` with the same, or by `?script=` with a comma-separated list, of which the header
`Hedgerow-Attempt: N` chooses the N-th entry, or the last. `FAULTS` are the names, and whether each is a
success; `status_200` to `status_999` come besides.

The modules, from the pure to the edge: `wire` (steps as data), `faults`, `behaviour`, `draws` (chance),
`asking` (the grammar above), `counts`, `log`, `upstream` (which answer), then `connection`,
`connection_registry`, `simulator` (a server), `listening`, `workers` (processes) and `cli`. Every limit is in
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
