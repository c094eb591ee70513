"""`python -m hedgerow_simulator` is `hedgerow simulate`."""

from hedgerow_simulator.cli import simulate

simulate(prog_name="hedgerow simulate")
