"""Three gateways behind HAProxy, and what clients lose when one of them goes: `python -m verification.replicas`.

Each gateway has a loopback address of its own. HAProxy asks the admin ports as the Kubernetes manifests' readiness
probe does. Clients come in an open loop, each with a connection of its own, and want an answer within `TIMEOUT_MS`.
The upstream is the simulator without faults, so whatever is lost is lost by the gateways or on the way to them.
"""

import argparse
import asyncio
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import psutil
import yaml

from bench.machine import measured_commit
from support.processes import FAULTLESS, GatewayProcess, serve_command, simulator
from verification import ROOT

ADDRESSES = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
TIMEOUT_MS = 900
SLACK_S = 0.025
"""An answer later than its timeout by more than this is late: HAProxy and this program take a moment too."""
GIVE_UP_S = 5.0
"""A client without an answer leaves."""
DEPLOYMENT = yaml.safe_load((ROOT / "deploy/kubernetes/base/deployment.yaml").read_text())
CONTAINER = DEPLOYMENT["spec"]["template"]["spec"]["containers"][0]
PROBE = CONTAINER["readinessProbe"]
NOTICE_S = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]


class Replica:
    """One gateway, which can be started again where it was."""

    def __init__(self, address: str, upstream: str) -> None:
        self.address = address
        self._upstream = upstream
        self.port = self.admin_port = 0
        self.start()

    def start(self) -> None:
        flags = (
            "--access-log=off", f"--upstream={self._upstream}", f"--host={self.address}", f"--port={self.port}",
            f"--admin-host={self.address}", f"--admin-port={self.admin_port}",
        )  # fmt: skip
        self.gateway = GatewayProcess(serve_command(*flags), stderr=subprocess.DEVNULL)
        self.port, self.admin_port = self.gateway.port, int(self.gateway.admin.rpartition(":")[2])

    def processes(self) -> list[psutil.Process]:
        return [psutil.Process(self.gateway.process.pid), *self.gateway.family()]

    def end(self) -> None:
        """Kill all its processes in one step, as the loss of a machine does."""
        if self.gateway.process.poll() is None:
            for process in self.processes():
                process.kill()
        self.gateway.process.wait()


class Balancer:
    """HAProxy before the replicas."""

    def __init__(self, replicas: list[Replica], folder: Path) -> None:
        self._socket = folder / "control"
        servers = "\n".join(
            f"  server s{number} {replica.address}:{replica.port} check port {replica.admin_port}"
            f" inter {PROBE['periodSeconds']}s fall {PROBE['failureThreshold']} rise 1"
            for number, replica in enumerate(replicas)
        )
        sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = int(sock.getsockname()[1])
        config = folder / "haproxy.cfg"
        config.write_text(
            f"global\n  stats socket {self._socket} mode 600 level admin\n"
            "defaults\n  mode http\n  timeout connect 1s\n  timeout client 10s\n  timeout server 10s\n"
            f"  timeout check {PROBE['timeoutSeconds']}s\n"
            f"frontend clients\n  bind fd@{sock.fileno()}\n  default_backend gateways\n"
            "backend gateways\n  balance roundrobin\n  option redispatch 1\n"
            f"  option httpchk GET {PROBE['httpGet']['path']}\n  http-check expect status 200\n{servers}\n"
        )
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        self.process = subprocess.Popen([program, "-q", "-db", "-f", str(config)], pass_fds=[sock.fileno()])
        sock.close()

    async def say(self, command: str) -> str:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        writer.write(command.encode() + b"\n")
        answer = (await reader.read()).decode()
        writer.close()
        return answer

    async def all_up(self) -> None:
        """Wait until HAProxy has found every replica ready; it may be starting itself."""
        while True:
            if self.process.poll() is not None:
                sys.exit("haproxy ended; what it said is above")
            if not self._socket.exists():
                await asyncio.sleep(0.1)
                continue
            rows = [line.split(",") for line in (await self.say("show stat")).splitlines()]
            states = [row[17] for row in rows if row[0] == "gateways" and row[1].startswith("s")]
            if states and all(state == "UP" for state in states):
                return
            await asyncio.sleep(0.1)


async def ask(port: int, due_at: float) -> str:
    """Ask once, and return what came of it."""
    try:
        async with asyncio.timeout(GIVE_UP_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                f"GET /api/smart?timeout={TIMEOUT_MS} HTTP/1.1\r\nHost: replicas\r\nConnection: close\r\n\r\n".encode()
            )
            answer = await reader.read()
            writer.close()
    except TimeoutError:
        return "no answer"
    except OSError:
        return "connection lost"
    late = monotonic() - due_at > TIMEOUT_MS / 1000 + SLACK_S
    status = answer[9:12].decode() or "empty answer"
    if status == "200":
        return "late" if late else "good"
    return f"{status}{' from HAProxy' if b'request_id' not in answer else ''}{' late' if late else ''}"


async def clients(port: int, rate: float, seconds: float) -> Counter[str]:
    """Ask at that rate for that long, whatever comes back."""
    loop, began_at = asyncio.get_running_loop(), monotonic()
    asking = []
    for number in range(int(rate * seconds)):
        due_at = began_at + number / rate
        await asyncio.sleep(max(0.0, due_at - monotonic()))
        asking.append(loop.create_task(ask(port, due_at)))
    return Counter(await asyncio.gather(*asking))


# -- what happens to the first replica, and what mends it


async def nothing(_: Replica, __: Balancer) -> None:
    pass


async def killed(replica: Replica, _: Balancer) -> None:
    replica.end()


async def drained(replica: Replica, balancer: Balancer) -> None:
    """As Kubernetes does: the balancer learns of it, `preStop` waits, then SIGTERM."""
    await balancer.say("set server gateways/s0 state drain")
    await asyncio.sleep(NOTICE_S)
    replica.gateway.process.send_signal(signal.SIGTERM)


async def drained_without_notice(replica: Replica, _: Balancer) -> None:
    replica.gateway.process.send_signal(signal.SIGTERM)


async def stalled(replica: Replica, _: Balancer) -> None:
    for process in replica.processes():
        process.suspend()


async def worker_stalled(replica: Replica, _: Balancer) -> None:
    for process in replica.processes()[1:]:
        process.suspend()


EVENTS = {
    "nothing happens": nothing,
    "one is killed, all its processes at once": killed,
    f"one is drained, {NOTICE_S} s after the balancer was notified": drained,
    "one is drained without notice": drained_without_notice,
    "one stalls, all its processes": stalled,
    "one stalls, its worker alone": worker_stalled,
}


async def campaign(rate: float, seconds: float, replicas: list[Replica], balancer: Balancer) -> Iterator[str]:
    """Play each event a fifth into its phase; the replica is repaired before the next."""
    rows = []
    first = replicas[0]
    for name, event in EVENTS.items():
        await balancer.all_up()
        asking = asyncio.get_running_loop().create_task(clients(balancer.port, rate, seconds))
        await asyncio.sleep(seconds / 5)
        await event(first, balancer)
        counted = await asking
        lost = sum(counted.values()) - counted["good"]
        how = ", ".join(f"{count} {what}" for what, count in sorted(counted.items()) if what != "good")
        rows.append(f"| {name} | {sum(counted.values())} | {lost} | {how or 'none'} |")
        print(rows[-1], flush=True)
        if event is not nothing:
            first.end()
            first.start()
            await balancer.say("set server gateways/s0 state ready")
    return iter(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=150, help="requests per second")
    parser.add_argument("--seconds", type=float, default=30, help="length of each phase; at least 25")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that what was started ends too
    with ExitStack() as stack:
        url = stack.enter_context(simulator("--latency-ms=100-600", "--seed=1", *FAULTLESS)).url
        replicas = []
        for address in ADDRESSES:
            replicas.append(Replica(address, url))
            stack.callback(replicas[-1].end)
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        balancer = Balancer(replicas, Path(folder))
        stack.callback(balancer.process.wait)
        stack.callback(balancer.process.kill)
        rows = asyncio.run(campaign(given.rate, given.seconds, replicas, balancer))
        (ROOT / "docs/verification/replicas.md").write_text(
            "# Replicas tried\n\n"
            "Written by `python -m verification.replicas`, whose head says how it is done. "
            f"Commit {measured_commit()}, Python {platform.python_version()}, {os.cpu_count()} cores, "
            f"{platform.system()} {platform.release()}; three replicas of one worker, {given.rate:g} requests/s "
            f"for {given.seconds:g} s in each phase, `timeout={TIMEOUT_MS}`; the event comes after "
            f"{given.seconds / 5:g} s.\n\n"
            "| what happens | asked | lost | how |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
        )


if __name__ == "__main__":
    main()
