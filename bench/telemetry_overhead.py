"""What telemetry costs: `python -m bench.telemetry_overhead`. All of it on, against all of it off, in turns.

On: metrics scraped every 5 s, lines for errors, `/status` open (it asks for `/status.json` each second), traces of 1 %
exported to a receiver. Off: no count is kept, nothing is logged or traced, nothing is scraped. With `--parts` what is
between, too. All gateways run all the time, and are loaded in turns of a few seconds: the machine's speed drifts, and
what is compared has to be close together.
"""

import http.server
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click

from bench.machine import provenance
from bench.processes import free_port
from bench.servers import COMPILED, HEDGEROW, Server, gateway
from bench.toolchain import ensure_peers
from bench.workloads import (
    LOAD_CORE,
    Measured,
    RunningServer,
    Settings,
    Upstream,
    closed_loop,
    running_server,
    w1_on,
)

RESULTS = Path(__file__).parent / "results"
NO_TELEMETRY = Path(__file__).parent / "no_telemetry"
WORKLOADS: dict[str, tuple[Upstream, Callable[[RunningServer, Settings], Measured]]] = {
    "W1": ("instant", w1_on),
    "W2": ("seed", closed_loop),
}
SCRAPE_EVERY_S = 5
TRACED_SHARE = 0.01
EXPORT_EVERY_MS = 1000
"""Shorter than a turn's warming up, so that as much is exported in its window as is recorded in it; 5 s is standard."""


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes what is exported, and forgets it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take one batch of spans."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's)
        """Say nothing."""


@contextmanager
def asking(admin_port: int) -> Iterator[None]:
    """Ask as an open page and a Prometheus do, in a process of its own."""
    watcher = subprocess.Popen(
        [
            "taskset",
            "--cpu-list",
            str(LOAD_CORE),
            sys.executable,
            "-m",
            "bench.telemetry_overhead",
            "--ask",
            str(admin_port),
        ]
    )
    try:
        yield
    finally:
        watcher.terminate()
        watcher.wait()


def ask(admin_port: int) -> None:
    """Ask until terminated."""
    for second in range(10**6):
        with suppress(OSError):
            paths = ["/status.json", "/metrics"][: 1 + (second % SCRAPE_EVERY_S == 0)]
            for path in paths:
                with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}{path}", timeout=10) as answer:
                    answer.read()
        time.sleep(1)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """How much telemetry a gateway has."""

    flags: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    asked: bool = False

    @contextmanager
    def running(self, program: Path, settings: Settings, kind: Upstream) -> Iterator[RunningServer]:
        """Run such a gateway before an upstream of its own."""
        port = free_port()
        start = gateway(program, f"--admin-port {port} {self.flags}")  # the last of two ports counts
        variables = (f"{name}={value}" for name, value in self.variables.items())
        server = Server("gateway", "", lambda place: ["env", *variables, *start(place)])
        with running_server(server, settings, kind) as target, asking(port) if self.asked else nullcontext():
            yield target


def variants(receiver_port: int, *, parts: bool) -> dict[str, Telemetry]:
    """Name what is compared; all with the first."""
    exporter = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver_port}",
        "OTEL_BSP_SCHEDULE_DELAY": str(EXPORT_EVERY_MS),
    }
    traces = f"--trace-sample {TRACED_SHARE}"
    between = {
        "counts": Telemetry(),
        "counts, asked for": Telemetry(asked=True),
        "counts and traces": Telemetry(traces, exporter),
    }
    return {
        "off": Telemetry("--access-log off", {"PYTHONPATH": str(NO_TELEMETRY)}),
        **(between if parts else {}),
        "on": Telemetry(traces, exporter, asked=True),
    }


@click.command()
@click.option("--rounds", type=click.IntRange(min=2), default=20, show_default=True)
@click.option("--seconds", default=3.0, show_default=True, help="Of load on each gateway in each round.")
@click.option("--parts", is_flag=True, help="Compare what is between off and on, too.")
@click.option(
    "--compiled",
    is_flag=True,
    help="The build with its hot path compiled, as the image has it; it needs the extra (requirements/otel.txt).",
)
@click.option("--ask", "asked_port", type=int, hidden=True)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False))
def main(
    rounds: int, seconds: float, asked_port: int | None, output: Path | None, *, compiled: bool, parts: bool
) -> None:
    """Print CPU per request with all of it on and all of it off, and what the difference comes to."""
    if asked_port is not None:
        ask(asked_port)
        return
    ensure_peers()  # the upstream is written in Go
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    program = COMPILED if compiled else HEDGEROW
    settings = Settings(
        seconds=seconds, settle_s=2.0, in_flight=2000, timeout_ms=800, rates=(), upstream="go"
    )
    measurements: dict[str, dict[str, list[float]]] = {}
    for name, (kind, load) in WORKLOADS.items():
        with ExitStack() as stack:
            targets = {
                which: stack.enter_context(telemetry.running(program, settings, kind))
                for which, telemetry in variants(receiver.server_port, parts=parts).items()
            }
            took: dict[str, list[float]] = {which: [] for which in targets}
            for turn in range(rounds):
                for which in targets if turn % 2 else reversed(targets):  # either end goes first in turn
                    took[which].append(cpu_us(load(targets[which], settings)))
        measurements[name] = took
        off = took["off"]
        for which, measured in took.items():
            more = [on_us / off_us - 1 for off_us, on_us in zip(off, measured, strict=True)]
            low, middle, high = statistics.quantiles(more, n=4)
            print(
                f"{name}: {which}: {statistics.median(measured):.1f} µs of CPU a request; in the same round "
                f"{middle:+.1%} (half of the rounds {low:+.1%} to {high:+.1%})",
                flush=True,
            )
    receiver.shutdown()
    command = ["python", "-m", "bench.telemetry_overhead", *sys.argv[1:]]
    report = {**provenance(), "command": command, "cpu_us_per_request": measurements}
    output = output or RESULTS / f"{datetime.now(UTC):%Y-%m-%dT%H%M}-telemetry.json"
    output.write_text(json.dumps(report, indent=1) + "\n")


def cpu_us(measured: Measured) -> float:
    """Take the CPU per request out of what a workload measured."""
    return float(measured["window"]["cpu_us_per_request"])


if __name__ == "__main__":
    os.chdir(Path(__file__).parent.parent)
    main()
