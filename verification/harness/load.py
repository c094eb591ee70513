"""The gateway under the load of `bench/load`: an open loop that judges lateness on its own clock.

One core for the gateway, the other for the upstream and the load, as in `bench`. The gateway is not charged for what
the machine does: an answer is late if it came past its timeout by more than the generator was late itself, and by more
than the gateway's core had stood still for (`core_stalls`).
"""

import bisect
import functools
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import load_generators
from bench.servers import COMPILED, HEDGEROW, Server, gateway
from bench.stats import CAPACITY_GOOD_SHARE
from bench.toolchain import ensure_peers
from bench.workloads import LOAD_CORE, SERVER_CORE, Settings, running_server
from verification.harness.campaign import Findings
from verification.harness.closed_loops import workers
from verification.harness.core_stalls import GATEWAY_PRIORITY, judge, watching

Step = dict[str, Any]
"""What bench/load reports of one."""
CAPACITIES = range(2_000, 14_001, 500)
"""Requests a second among which capacity is looked for: machines differ by more than a factor of two."""
CAPACITY_STEP_S = 6.0
CAPACITY_SHARE = 0.02
"""At a smaller share of a campaign capacity is not looked for: the lowest is taken."""
WARM_S = 4.0
"""Load before anything is counted: a cold gateway opens three connections for each request."""
CONNECTIONS = 16_000
"""Of the generator: a request of an open loop that finds none free is not sent, and counts as not good."""
REAL_TIME = ("chrt", "--fifo", str(GATEWAY_PRIORITY))
"""Before a command: runs it at real-time priority (sched(7))."""
JUMP_S = 2.0
"""A load that rises in one step needs a thousand new connections or more: this much of it is a step of its own."""


@dataclass(frozen=True, slots=True)
class Load:
    """What `bench/load` is given. The first step warms the gateway up, for `WARM_S` or as long as the others.

    Each rate is reached in one step, for `jump_s` or as long as `seconds`: a step of its own before the other.
    """

    warm_rate: int
    rates: tuple[int, ...]
    seconds: float
    jump_s: float = 0.0
    timeout: str = "800"
    seed: int = 1
    burst: int = 0


def program() -> Path:
    """Return the build to measure: MEASURED_PROGRAM, or the compiled one where it was made, or the plain one."""
    chosen = os.environ.get("MEASURED_PROGRAM")
    if chosen:
        return Path(chosen)
    return COMPILED if COMPILED.exists() else HEDGEROW


def hedgerow() -> Server:
    """Return the gateway as a server of the benchmarks, in its default settings."""
    return Server("hedgerow", "", gateway(program(), ""))


def may_have_real_time_priority() -> bool:
    """Return whether `before_all_others` works: for root, or with CAP_SYS_NICE."""
    return not subprocess.run([*REAL_TIME, "true"], capture_output=True, check=False).returncode


def before_all_others(server: Server) -> Server:
    """Return the server at real-time priority: it runs before every ordinary process of its core.

    "One core for the gateway" holds only so: a program of higher priority, for instance one that watches the machine,
    takes the core for 15 ms once a second here, and what is due meanwhile is late.
    """
    return replace(server, command=lambda place: [*REAL_TIME, *server.command(place)])


def under_load(load: Load, server: Server | None = None) -> list[Step]:
    """Run a fresh server under a load: the gateway unless it is another. Return its steps; the first warms it up."""
    ensure_peers()
    settings = Settings(load.seconds, WARM_S, 0, 800, load.rates, "go")
    warm_s = min(load.seconds, WARM_S)
    jump_s = min(load.seconds, load.jump_s)
    lasts_s = (jump_s, load.seconds) if jump_s else (load.seconds,)
    steps_s = [(load.warm_rate, warm_s), *((rate, seconds) for rate in load.rates for seconds in lasts_s)]
    rates, seconds_s = (",".join(map(str, column)) for column in zip(*steps_s, strict=True))
    arguments = [
        *("-rate", rates, "-timeout", load.timeout, "-seconds", seconds_s, "-settle", "0", "-each-late"),
        *(
            "-conns",
            str(CONNECTIONS),
            "-seed",
            str(load.seed),
            "-burst",
            str(load.burst),
            "-burst-at",
            str(warm_s + 1),
        ),
    ]
    with (
        running_server(server or hedgerow(), settings) as target,
        watching(SERVER_CORE, [process.pid for process in workers(target.server)]) as stalls,
    ):
        steps: list[Step] = load_generators.steps(["-addr", target.address, *arguments], core=LOAD_CORE)
    for step in steps:
        judge(stalls, step)
    return steps


@functools.cache
def capacity(seed: int, share: float) -> int:
    """Find what this machine can do: the highest rate, in requests a second, that is answered well. A bisection."""
    if share < CAPACITY_SHARE:
        return CAPACITIES[0]

    def is_too_much(rate: int) -> bool:
        *_, step = under_load(Load(rate // 2, (rate,), CAPACITY_STEP_S, jump_s=JUMP_S, seed=seed))
        return bool(step["outcomes"]["good"] < CAPACITY_GOOD_SHARE * step["planned"])

    return CAPACITIES[max(bisect.bisect_left(CAPACITIES, True, key=is_too_much) - 1, 0)]


def record(findings: Findings, name: str, step: Step) -> None:
    """Note what one step came to."""
    outcomes = step["outcomes"]
    findings.count += step["planned"]
    findings.figures[name] = (
        f"{outcomes['good'] / step['planned']:.2%} of {step['planned']} good "
        f"({outcomes['good'] / step['seconds']:.0f}/s); {rejections(step)}; {lateness(step)}{unanswered(step)}"
    )


def unanswered(step: Step) -> str:
    """Describe the requests that got no answer: the connection was closed, mostly as they were sent on an idle one."""
    count = step["outcomes"]["no_answer"]
    return f"; {count} without an answer" if count else ""


def rejections(step: Step) -> str:
    """Describe the 503s of a step."""
    rejected, too_late = step["outcomes"]["503"], step["rejected_after_a_quarter"]
    if not rejected:
        return "none rejected"
    p99_ms = step["latency_of_refused"]["p99_ms"]
    after = (
        f"{too_late['count']} after a quarter of the timeout, by up to {too_late['max_ms']:.1f} ms; "
        f"{too_late['unexplained']['count']} beyond stalls of the gateway's core, too"
    )
    return f"{rejected} rejected (p99 {p99_ms:.1f} ms" + (f"; {after})" if too_late["count"] else ")")


def lateness(step: Step) -> str:
    """Describe the late answers of a step."""
    late, lag_ms = step["late"], step["own"]["ticker_lag"]["max_ms"]
    beyond = late["beyond_own_lag"]
    if not late["count"]:
        return "none late"
    short = f" ({late['short_timeouts']} with timeouts under 25 ms)" if late["short_timeouts"] else ""
    besides = (
        f", and {beyond['short_timeouts']} with timeouts under 25 ms" if beyond["short_timeouts"] else ""
    )
    core = "the gateway's core could not be watched"
    if late["core_watched"]:
        core = f"{beyond['unexplained']['count']} beyond stalls of the gateway's core, too"
    return (
        f"{late['count']} late, by up to {late['worst_ms']:.1f} ms{short}; {beyond['count']} beyond the generator's "
        f"lag of {lag_ms:.1f} ms, by up to {beyond['worst_ms']:.1f} ms{besides}; {core}"
    )
