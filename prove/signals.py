"""C09: SIGTERM under load, and kill -9 of one worker: what do callers lose? `python -m prove.signals`.

Callers ask without a pause on keep-alive connections, as pools do. A request is lost when it was sent whole and no
whole answer came. A caller who can no longer connect goes home: that is no loss, for nothing was sent.
"""

import argparse
import asyncio
import random
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from urllib.parse import urlsplit

import psutil

CALLERS = 64
UNDER_LOAD_S = (0.2, 0.9)
"""The signal comes at a random moment of this span."""
DRAIN_MS = 10_000
FAULTLESS = ["--upstream=embedded"]
REQUEST = b"GET /api/smart?timeout=5000 HTTP/1.1\r\nHost: hedgerow\r\n\r\n"


@dataclass
class Seen:
    """What the callers of one round saw."""

    answered: int = 0
    lost: list[str] = field(default_factory=list)
    connections: dict[int, int] = field(default_factory=dict)
    """Requests in flight by the caller's port, so that they can be told apart by worker."""


class Gateway:
    """The real command, with the embedded testing server."""

    def __init__(self, workers: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hedgerow", "serve", "--port=0", "--admin-port=0", f"--workers={workers}",
             "--access-log=off", f"--drain-ms={DRAIN_MS}", *FAULTLESS],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline() for _ in range(4)]
        url = urlsplit(lines[0].split()[-1])
        self.address = (url.hostname, url.port)

    def workers(self) -> list[psutil.Process]:
        """Tell the workers' processes, without the testing server's."""
        children = psutil.Process(self.process.pid).children()
        found = []
        for child in children:
            with suppress(psutil.NoSuchProcess):  # a zombie, too
                if "hedgerow.worker" in child.cmdline():
                    found.append(child)
        return found

    def end(self) -> int:
        """Wait for the end, and tell the exit code."""
        return self.process.wait(timeout=DRAIN_MS / 1000 + 5)


async def call(gateway: Gateway, seen: Seen, stop: asyncio.Event) -> None:
    """Ask until told to stop, or until nobody takes connections any more."""
    while not stop.is_set():
        try:
            reader, writer = await asyncio.open_connection(*gateway.address)
        except OSError:
            return
        port = writer.get_extra_info("sockname")[1]
        try:
            while not stop.is_set():
                seen.connections[port] = 1
                writer.write(REQUEST)
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                seen.connections[port] = 0
                seen.answered += 1
                if b"connection: close" in head.lower():
                    break
        except (OSError, asyncio.IncompleteReadError) as error:
            seen.lost.append(f"{port}: {error!r}")
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def terminate(moment_s: float) -> tuple[Seen, int, float]:
    """One round of SIGTERM: what was seen, the exit code, and how long the drain took."""
    gateway, seen, stop = Gateway(workers=2), Seen(), asyncio.Event()
    callers = [asyncio.create_task(call(gateway, seen, stop)) for _ in range(CALLERS)]
    await asyncio.sleep(moment_s)
    gateway.process.send_signal(signal.SIGTERM)
    sent_at = monotonic()
    code = await asyncio.to_thread(gateway.end)
    took_s = monotonic() - sent_at
    stop.set()
    await asyncio.wait(callers)
    return seen, code, took_s


async def kill(moment_s: float) -> tuple[Seen, int, float]:
    """One round of kill -9: what was seen, what the victim had in flight, and how long until it was replaced."""
    gateway, seen, stop = Gateway(workers=2), Seen(), asyncio.Event()
    while len(gateway.workers()) < 2:  # noqa: ASYNC110 (a process' children are nothing to await)
        await asyncio.sleep(0.01)
    callers = [asyncio.create_task(call(gateway, seen, stop)) for _ in range(CALLERS)]
    await asyncio.sleep(moment_s)
    victim, other = gateway.workers()
    victim.suspend()  # so that the count is of the moment of its death
    in_flight = sum(seen.connections.get(port, 0) for port in callers_of(victim))
    known = {victim.pid, other.pid}
    victim.kill()
    killed_at = monotonic()
    while {worker.pid for worker in gateway.workers()} <= known:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    new = next(worker for worker in gateway.workers() if worker.pid not in known)
    while not callers_of(new) & seen.connections.keys():
        extra = asyncio.create_task(call(gateway, seen, stop))
        callers.append(extra)
        await asyncio.sleep(0.02)
    took_s = monotonic() - killed_at
    stop.set()
    await asyncio.wait(callers)
    gateway.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(gateway.end)
    return seen, in_flight, took_s


def callers_of(worker: psutil.Process) -> set[int]:
    """Tell the ports of the peers of a process' connections."""
    return {
        connection.raddr.port
        for connection in worker.net_connections(kind="tcp")
        if connection.status == psutil.CONN_ESTABLISHED
    }


async def run(seed: int, terms: int, kills: int) -> bool:
    """Run the campaign; tells whether it holds."""
    draw = random.Random(seed)
    answered, lost, codes, slowest_s = 0, 0, set(), 0.0
    for _ in range(terms):
        seen, code, took_s = await terminate(draw.uniform(*UNDER_LOAD_S))
        answered += seen.answered
        lost += len(seen.lost)
        codes.add(code)
        slowest_s = max(slowest_s, took_s)
        for line in seen.lost:
            print("lost:", line)
    holds = lost == 0 and codes <= {0}
    print(f"C09 SIGTERM x{terms}, seed {seed}: {answered} answered, {lost} lost, exit codes {sorted(codes)}, "
          f"drain {slowest_s:.1f} s at the most: {'holds' if holds else 'BROKEN'}")  # fmt: skip
    answered, lost, own, slowest_s, foreign = 0, 0, 0, 0.0, 0
    for _ in range(kills):
        seen, in_flight, took_s = await kill(draw.uniform(*UNDER_LOAD_S) + 0.5)
        answered += seen.answered
        lost += len(seen.lost)
        own += in_flight
        foreign += max(len(seen.lost) - in_flight, 0)
        slowest_s = max(slowest_s, took_s)
    fine = foreign == 0 and slowest_s <= 1.0
    print(f"C09 kill -9 x{kills}: {answered} answered, {lost} lost, {own} of the killed, {foreign} of others'; "
          f"a new worker had callers within {slowest_s:.2f} s: {'holds' if fine else 'BROKEN'}")  # fmt: skip
    return holds and fine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--terms", type=int, default=100)
    parser.add_argument("--kills", type=int, default=20)
    arguments = parser.parse_args()
    sys.exit(not asyncio.run(run(arguments.seed, arguments.terms, arguments.kills)))


if __name__ == "__main__":
    main()
