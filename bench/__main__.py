"""`python -m bench`: measure hedgerow beside its peers, in turns, on two cores."""

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import click

from bench import report
from bench.machine import provenance
from bench.servers import COMPILED, PEER_SERVERS, Server, known_servers
from bench.toolchain import BENCH, build_go, ensure_peers
from bench.workloads import LOAD_CORE, WORKLOADS, Settings

PEER_NAMES = tuple(server.name for server in PEER_SERVERS)
OWN_AND_PEERS = ("hedgerow", *(("compiled",) if COMPILED.exists() else ()), *PEER_NAMES)
RATES = ",".join(str(rate) for rate in range(1000, 10_001, 1000))


def names(_: click.Context, parameter: click.Parameter, value: str) -> list[str]:
    """Split a list with commas and refuse what does not exist."""
    chosen = [name.strip() for name in value.split(",") if name.strip()]
    known = (
        list(WORKLOADS)
        if parameter.name == "workloads"
        else ["hedgerow", "compiled", "unprotected", "other", *PEER_NAMES]
    )
    if unknown := [name for name in chosen if name not in known]:
        raise click.BadParameter(f"{', '.join(unknown)}; there are {', '.join(known)}")
    return chosen


@click.command()
@click.option("--workloads", default="W1,W2", show_default=True, callback=names, help="Which, in this order.")
@click.option("--servers", default=",".join(OWN_AND_PEERS), show_default=True, callback=names)
@click.option("--rounds", default=5, show_default=True, help="Every server runs once in each round.")
@click.option("--seconds", default=8.0, show_default=True, help="Length of a measured window.")
@click.option("--settle", default=3.0, show_default=True, help="Seconds of load before it.")
@click.option("--in-flight", default=2000, show_default=True, help="W2: requests in flight.")
@click.option("--timeout-ms", default=800, show_default=True, help="W3: the timeout of every request.")
@click.option("--rates", default=RATES, show_default=True, help="W3: requests per second.")
@click.option(
    "--upstream", type=click.Choice(["go", "simulator"]), default="go", help="W2, W3: who is asked."
)
@click.option("--gateway-args", default="", help="More arguments for `hedgerow serve`.")
@click.option(
    "--other", type=click.Path(path_type=Path), help="Another build's `hedgerow`, as server `other`."
)
@click.option("--quick", is_flag=True, help="One round, short windows: does it work?")
@click.option("--output", type=click.Path(path_type=Path), default=BENCH / "results", show_default=False)
def main(quick: bool, output: Path, **options: Any) -> None:
    """Measure hedgerow beside its peers in turns: server on core 0, upstream and load on core 1."""
    signal.signal(signal.SIGTERM, stop_in_order)
    os.sched_setaffinity(0, {LOAD_CORE})
    rounds = 1 if quick else options["rounds"]
    settings = Settings(
        seconds=3.0 if quick else options["seconds"],
        settle_s=2.0 if quick else options["settle"],
        in_flight=options["in_flight"],
        timeout_ms=options["timeout_ms"],
        rates=tuple(int(rate) for rate in options["rates"].split(",")),
        upstream=options["upstream"],
    )
    known = known_servers(options["gateway_args"], options["other"])
    servers = [known[name] for name in options["servers"] if name in known]
    ensure_peers()
    for program in ("load", "upstream", "peers/gohedge"):
        build_go(program)
    origin = provenance()
    for workload in options["workloads"]:
        chosen = [server for server in servers if can_do(server, workload)]
        results: dict[str, list[dict[str, Any]]] = {server.name: [] for server in chosen}
        started = datetime.now(UTC).strftime("%Y-%m-%dT%H%M")
        try:
            for number in range(rounds):
                for server in chosen:
                    click.echo(f"{workload} round {number + 1}/{rounds}: {server.name}", err=True)
                    results[server.name].append(WORKLOADS[workload](server, settings))
        finally:
            measured = {name: runs for name, runs in results.items() if runs}
            if measured:
                path = output / f"{started}-{workload}.json"
                report.save(path, workload, origin, measured)
                click.echo(report.table(workload, measured))
                click.echo(f"written to {path}\n")


def can_do(server: Server, workload: str) -> bool:
    """Return whether a workload means anything to a server."""
    return (
        (server.hedges or workload not in ("W3", "W5"))
        and (server.speaks_tls or workload != "W4")
        and (server.passes_on or workload not in ("W7", "W8"))
        and (server.closes or workload != "W9")
    )


def stop_in_order(_signal: int, _frame: FrameType | None) -> None:
    """Turn SIGTERM into an exception, so that everything that was started is stopped."""
    sys.exit(143)


if __name__ == "__main__":
    main()
