"""The program of test_name_changes.py: `python -m end_to_end.name_changes FOLDER REFRESH`, in a network of its own.

REFRESH is how often the gateway looks names up, in seconds; 0 leaves it as it is.
"""

import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

from support.before import Client
from support.dnsmasq import NAME, Dnsmasq
from support.other_servers import nginx
from support.processes import GatewayProcess, serve_command

CLIENTS = 2
LOOKUPS = 4
"""Of a server that does not answer: `getaddrinfo` asks it twice, for each kind of address."""
REFRESHED_EACH = """
import sys
from msgspec.structs import replace
from hedgerow import cli
from hedgerow.processes import supervisor
from hedgerow.settings import UpstreamLimits

serve = supervisor.run
limits = UpstreamLimits(dns_ttl_s=float(sys.argv.pop(1)))
supervisor.run = lambda settings, again: serve(replace(settings, upstream_limits=limits), again)
cli.main()
"""


class Replica:
    """An nginx at an address, which answers with it."""

    port = 0
    """Of all replicas: they have one name."""

    def __init__(self, folder: Path, number: int) -> None:
        self.address = f"127.0.0.{number}"
        self._stack = ExitStack()
        own = folder / self.address
        own.mkdir()
        answer = f'location / {{ return 200 "{self.address}"; }}'
        url = self._stack.enter_context(nginx(own, answer, address=(self.address, Replica.port)))
        Replica.port = int(url.rpartition(":")[2])

    def stop(self) -> None:
        self._stack.close()


class Traffic:
    """Clients that ask without a pause."""

    def __init__(self, authority: str) -> None:
        self.bad: list[object] = []
        self._seen: set[str] = set()
        self._authority = authority
        self._is_over = Event()
        self._threads = [Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        client = Client(self._authority)
        while not self._is_over.is_set():
            try:
                answer = client.ask("GET", "/")
            except Exception as error:  # noqa: BLE001 (whatever it is, the test fails by it)
                self.bad.append(error)
                return
            if answer.status == 200:
                self._seen.add(answer.body.decode())
            else:
                self.bad.append(answer)
        client.close()

    def until_answered_by(self, *replicas: Replica) -> None:
        """Wait until each of these has answered from now on, and no other does any more."""
        wanted = {replica.address for replica in replicas}
        self._seen.clear()
        while not wanted <= self._seen:
            self.check()
        while self._seen != wanted:
            self._seen.clear()
            while not wanted <= self._seen:
                self.check()

    def check(self) -> None:
        if self.bad:
            sys.exit(f"a request has failed: {self.bad[0]}")

    def end(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()


def play(folder: Path, refresh: str, stack: ExitStack) -> None:
    """Change what the name means, in each way that there is, while clients ask."""
    first, second, third, fourth, fifth = replicas = [Replica(folder, number) for number in range(2, 7)]
    for replica in replicas:
        stack.callback(replica.stop)
    server = Dnsmasq(folder, first.address, second.address)
    stack.callback(server.stop)
    file = folder / "hedgerow.toml"
    file.write_text(
        f"[upstreams.u]\nendpoints = ['http://{NAME}:{Replica.port}']\n[[routes]]\npath_prefix = '/'\nupstream = 'u'\n"
        "hedge = { after = '5s', retry_on_failure = 'immediate' }\n"
    )
    program = ("-m", "hedgerow") if refresh == "0" else ("-c", REFRESHED_EACH, refresh)
    gateway = GatewayProcess(
        serve_command("--config", str(file), "--access-log=off", program=program), stderr=subprocess.DEVNULL
    )
    stack.callback(gateway.end)
    traffic = Traffic(gateway.authority)
    stack.callback(traffic.end)
    traffic.until_answered_by(first, second)

    first.stop()
    server.answer(second.address, third.address)
    traffic.until_answered_by(second, third)

    server.answer(fourth.address)  # the others go on, and nothing fails that would bring the lookup forward
    traffic.until_answered_by(fourth)

    server.answer()
    server.until_asked("NXDOMAIN")
    server.until_asked("NXDOMAIN")
    server.stop()
    with socket.socket(type=socket.SOCK_DGRAM) as silent:  # a DNS server that hangs
        silent.bind(("127.0.0.1", 53))
        for _ in range(LOOKUPS):
            silent.recv(512)
        traffic.until_answered_by(fourth)

    server.start(fifth.address)
    traffic.until_answered_by(fifth)
    fourth.stop()
    traffic.until_answered_by(fifth)
    traffic.end()
    traffic.check()


if __name__ == "__main__":
    with ExitStack() as running:
        play(Path(sys.argv[1]), sys.argv[2], running)
    sys.stdout.write("all of it\n")
