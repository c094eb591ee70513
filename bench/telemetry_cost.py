"""What telling costs: `python -m bench.telemetry_cost`. All of it on, against all of it off, in turns.

On: metrics scraped every 5 s, lines for errors, `/status` open (it asks for `/status.json` each second), traces of 1 %
exported to a receiver. Off: no count is kept, nothing is logged or traced, nobody asks.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path

import click

from bench.machine import provenance
from bench.processes import free_port
from bench.servers import COMPILED, HEDGEROW, Command, Place, Server, gateway
from bench.toolchain import ensure_peers
from bench.workloads import LOAD_CORE, Settings, w1, w2

RESULTS = Path(__file__).parent / "results"
UNTOLD = Path(__file__).parent / "untold"
WORKLOADS = {"W1": w1, "W2": w2}
SCRAPE_EVERY_S = 5


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
            "bench.telemetry_cost",
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


def served(program: Path, admin_port: int, flags: str, env: dict[str, str]) -> Callable[[Place], Command]:
    """Return how a gateway with these flags and variables is started."""
    start = gateway(program, f"--admin-port {admin_port} {flags}")  # the last of two ports counts
    variables = (f"{name}={value}" for name, value in env.items())
    prefix: Command = ["env", *variables]
    return lambda place: [*prefix, *start(place)]


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=8.0, show_default=True)
@click.option(
    "--compiled",
    is_flag=True,
    help="The build with its hot path compiled, as the image has it; it needs the extra (requirements/otel.txt).",
)
@click.option("--ask", "asked_port", type=int, hidden=True)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False))
def main(rounds: int, seconds: float, asked_port: int | None, output: Path | None, *, compiled: bool) -> None:
    """Print CPU per request with all of it on and all of it off, and what the difference comes to."""
    if asked_port is not None:
        ask(asked_port)
        return
    ensure_peers()  # the upstream is written in Go
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    exporter = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.server_port}"}
    program = COMPILED if compiled else HEDGEROW
    settings = Settings(
        seconds=seconds, settle_s=3.0, in_flight=2000, timeout_ms=800, rates=(), upstream="go"
    )
    told: dict[str, dict[str, list[float]]] = {}
    for name, workload in WORKLOADS.items():
        took: dict[str, list[float]] = {"off": [], "on": []}
        for turn in range(rounds):
            # The machine's speed drifts, so either goes first in turn.
            for which in ("off", "on") if turn % 2 else ("on", "off"):
                port = free_port()
                start, watch = (
                    (served(program, port, "--access-log off", {"PYTHONPATH": str(UNTOLD)}), nullcontext())
                    if which == "off"
                    else (served(program, port, "--trace-sample 0.01", exporter), asking(port))
                )
                with watch:
                    took[which].append(cpu_us(workload(Server(which, "", start), settings)))
        off_us, on_us = (statistics.median(took[which]) for which in ("off", "on"))
        more = sorted(on / off - 1 for off, on in zip(took["off"], took["on"], strict=True))
        print(
            f"{name}: off {off_us:.1f} µs, on {on_us:.1f} µs of CPU a request; of the same round "
            f"{statistics.median(more):+.1%} ({more[0]:+.1%} to {more[-1]:+.1%})",
            flush=True,
        )
        told[name] = took
    receiver.shutdown()
    command = ["python", "-m", "bench.telemetry_cost", *sys.argv[1:]]
    report = {**provenance(), "command": command, "cpu_us_per_request": told}
    output = output or RESULTS / f"{datetime.now(UTC):%Y-%m-%dT%H%M}-telemetry.json"
    output.write_text(json.dumps(report, indent=1) + "\n")


def cpu_us(measured: dict[str, object]) -> float:
    """Take the CPU per request out of what a workload measured."""
    window = measured["window"]
    assert isinstance(window, dict)
    return float(window["cpu_us_per_request"])


if __name__ == "__main__":
    os.chdir(Path(__file__).parent.parent)
    main()
