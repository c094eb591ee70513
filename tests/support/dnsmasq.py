"""A real DNS server of one's own: dnsmasq in a network and a file system that the process has for itself.

The C library asks the servers of /etc/resolv.conf, on port 53, so all of it runs in namespaces: `in_own_network`.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CAN_HAVE_OWN_NETWORK = os.geteuid() == 0 and all(map(shutil.which, ("dnsmasq", "unshare", "ip", "mount")))

NAME = "replicas.test"


def in_own_network(*arguments: str) -> Sequence[str]:
    """Return the command of Python with these arguments, in a network and with mounts and processes of its own.

    All processes that it starts end with it.
    """
    own = ("--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
    return ["unshare", *own, sys.executable, *arguments]


class Dnsmasq:
    """The only DNS server that this process and its children know; it knows one name."""

    def __init__(self, folder: Path, *addresses: str) -> None:
        """Set up the network, and start with these addresses. Only for processes started by `in_own_network`."""
        self._hosts = folder / "hosts"
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        (folder / "nsswitch.conf").write_text("hosts: dns\n")
        for name in ("resolv.conf", "nsswitch.conf"):
            subprocess.run(["mount", "--bind", str(folder / name), f"/etc/{name}"], check=True)
        self.start(*addresses)

    def start(self, *addresses: str) -> None:
        """Start it, and return when it answers with these addresses."""
        self._write(*addresses)
        self._process = subprocess.Popen(
            [
                "dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root",
                "--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file", "--local=/test/",
                f"--addn-hosts={self._hosts}", "--log-queries",
            ],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._read_until("dnsmasq: read ")

    def answer(self, *addresses: str) -> None:
        """Have it answer with these addresses from now on; without one the name does not exist."""
        self._write(*addresses)
        self._process.send_signal(signal.SIGHUP)
        self._read_until("dnsmasq: read ")

    def until_asked(self, answer: str) -> None:
        """Wait until it has been asked from now on, and has given this answer."""
        self._read_until(f"{NAME} is {answer}")

    def stop(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.communicate()

    def _write(self, *addresses: str) -> None:
        self._hosts.write_text("".join(f"{address} {NAME}\n" for address in addresses))

    def _read_until(self, text: str) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if text in line:
                return
        sys.exit(f"dnsmasq ended before {text!r}")
