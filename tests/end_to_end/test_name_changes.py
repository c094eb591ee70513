"""A gateway before one name whose addresses change while clients ask: none of them notices (U04)."""

import os
import subprocess
from pathlib import Path

import pytest

from support.dnsmasq import CAN_HAVE_OWN_NETWORK, in_own_network
from support.tools import tool

ROOT = Path(__file__).parents[2]
BOUND_S = 50.0


@pytest.mark.skipif(not CAN_HAVE_OWN_NETWORK, reason="needs root, dnsmasq and a network namespace")
def test_u04_replicas_come_and_go_behind_a_name_and_no_request_fails(tmp_path: Path) -> None:
    """With a refresh of 0.2 s; by hand, with `0`, it takes the documented 30 s and 70 s in all."""
    tool("nginx")
    ran = subprocess.run(
        in_own_network("-m", "end_to_end.name_changes", str(tmp_path), "0.2"),
        env=os.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}/tests"},
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND_S,
    )
    assert ran.stdout == "all of it\n", ran.stderr
