"""Names whose addresses change, looked up by the C library from a real DNS server (U04).

In a network and a file system of its own: the C library asks the servers of /etc/resolv.conf, on port 53.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CAN_UNSHARE = os.geteuid() == 0 and all(map(shutil.which, ("dnsmasq", "unshare", "ip", "mount")))

SCRIPT = """
import signal, subprocess, sys, time
from pathlib import Path

from hedgerow.core.outcomes import Failure
from hedgerow.eventloop.loop import EventLoop
from hedgerow.net.resolver import Resolver
from hedgerow.settings import UpstreamLimits, parse_target
from hedgerow.settings.routes import UpstreamRule
from hedgerow.upstream.connector import Connector
from hedgerow.upstream.endpoints import Endpoints

folder = Path(sys.argv[1])
hosts = folder / "hosts"
dnsmasq = [
    "dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root",
    "--listen-address=127.0.0.1", "--bind-interfaces", f"--addn-hosts={hosts}", "--pid-file",
]

def answer(*addresses):
    hosts.write_text("".join(f"{address} replicas.test\\n" for address in addresses))

def start():
    server = subprocess.Popen(dnsmasq, stderr=subprocess.PIPE, text=True)
    for line in server.stderr:
        if line.startswith("dnsmasq: read "):
            return server
    sys.exit("dnsmasq ended")

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
(folder / "resolv.conf").write_text("nameserver 127.0.0.1\\noptions timeout:1 attempts:1\\n")
(folder / "nsswitch.conf").write_text("hosts: dns\\n")
for name in ("resolv.conf", "nsswitch.conf"):
    subprocess.run(["mount", "--bind", str(folder / name), f"/etc/{name}"], check=True)

answer("127.0.0.2", "127.0.0.3")
server = start()
loop = EventLoop(time.monotonic, on_internal_error=lambda: None)
rule = UpstreamRule(name="a", endpoints=(parse_target("http://replicas.test:8080/"),))
endpoints = Endpoints(rule.endpoints, rule.lb_policy, rule.outlier_detection)
resolver = Resolver(loop)
connector = Connector(rule, endpoints, UpstreamLimits(dns_ttl_s=0.05), loop, resolver)
failures = []
(name,) = connector._names.values()
on_lookup = name._on_lookup

def note(target, result):
    if isinstance(result, Failure):
        failures.append(result)
    on_lookup(target, result)

name._on_lookup = note
connector.start()

def found():
    return sorted(endpoint.address[4] for endpoint in endpoints.all)

def until(holds):
    while not holds():
        loop.run_once(0.1)

until(lambda: found() == [("127.0.0.2", 8080), ("127.0.0.3", 8080)])
kept = next(endpoint for endpoint in endpoints.all if endpoint.address[4][0] == "127.0.0.3")

answer("127.0.0.3", "127.0.0.4")
server.send_signal(signal.SIGHUP)
until(lambda: found() == [("127.0.0.3", 8080), ("127.0.0.4", 8080)])
assert kept in endpoints.all and kept.is_current

server.kill()
server.wait()
failures.clear()
until(lambda: len(failures) == 2)
assert found() == [("127.0.0.3", 8080), ("127.0.0.4", 8080)], "old addresses serve on while lookups fail"

answer("127.0.0.5")
server = start()
until(lambda: found() == [("127.0.0.5", 8080)])
assert not kept.is_current
server.kill()
server.wait()
connector.close()
resolver.close()
print("all of it")
"""


@pytest.mark.skipif(not CAN_UNSHARE, reason="needs root, dnsmasq and a network namespace")
def test_u04_a_name_whose_addresses_change_is_followed_and_outlives_its_server(tmp_path: Path) -> None:
    ran = subprocess.run(
        ["unshare", "--net", "--mount", sys.executable, "-c", SCRIPT, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert ran.stdout == "all of it\n", ran.stderr
