"""Names whose addresses change, looked up by the C library from a real DNS server (U04).

Of the worker's connector alone; tests/end_to_end/test_name_changes.py does the same with a whole gateway.
"""

import os
import subprocess
from pathlib import Path

import pytest

from support.dnsmasq import CAN_HAVE_OWN_NETWORK, in_own_network

ROOT = Path(__file__).resolve().parents[3]

SCRIPT = """
import sys, time
from pathlib import Path

from hedgerow.core.outcomes import Failure
from hedgerow.eventloop.loop import EventLoop
from hedgerow.net.resolver import Resolver
from hedgerow.settings import UpstreamLimits, parse_target
from hedgerow.settings.routes import UpstreamRule
from hedgerow.upstream.connection_budget import ConnectionBudget
from hedgerow.upstream.connector import Connector
from hedgerow.upstream.endpoints import Endpoints
from support.dnsmasq import Dnsmasq

server = Dnsmasq(Path(sys.argv[1]), "127.0.0.2", "127.0.0.3")
loop = EventLoop(time.monotonic, on_internal_error=lambda: None)
rule = UpstreamRule(name="a", endpoints=(parse_target("http://replicas.test:8080/"),))
endpoints = Endpoints(rule.endpoints, rule.lb_policy, rule.outlier_detection)
resolver = Resolver(loop)
connector = Connector(rule, endpoints, UpstreamLimits(dns_ttl_s=0.05), loop, resolver, ConnectionBudget(1))
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

server.answer("127.0.0.3", "127.0.0.4")
until(lambda: found() == [("127.0.0.3", 8080), ("127.0.0.4", 8080)])
assert kept in endpoints.all and kept.is_current

server.stop()
failures.clear()
until(lambda: len(failures) == 2)
assert found() == [("127.0.0.3", 8080), ("127.0.0.4", 8080)], "old addresses serve on while lookups fail"

server.start("127.0.0.5")
until(lambda: found() == [("127.0.0.5", 8080)])
assert not kept.is_current
server.stop()
connector.close()
resolver.close()
print("all of it")
"""


@pytest.mark.skipif(not CAN_HAVE_OWN_NETWORK, reason="needs root, dnsmasq and a network namespace")
def test_u04_a_name_whose_addresses_change_is_followed_and_outlives_its_server(tmp_path: Path) -> None:
    ran = subprocess.run(
        in_own_network("-c", SCRIPT, str(tmp_path)),
        env=os.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}/tests"},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert ran.stdout == "all of it\n", ran.stderr
