"""How the campaigns run the gateway."""

import os
import subprocess
import sys
from pathlib import Path

from bench.servers import Place, Server
from verification.harness.core_stalls import GATEWAY_PRIORITY
from verification.harness.load import before_all_others, may_have_real_time_priority

SAY_THE_POLICY = "import os; print(os.sched_getscheduler(0), os.sched_getparam(0).sched_priority)"


def test_a_server_runs_at_a_priority_of_real_time_where_it_may(tmp_path: Path) -> None:
    server = before_all_others(Server("one", "", lambda _place: [sys.executable, "-c", SAY_THE_POLICY]))
    command = server.command(Place(0, 0, tmp_path, 1.0))
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    policy = f"{os.SCHED_FIFO} {GATEWAY_PRIORITY}\n"
    assert (ran.returncode, ran.stdout) == (0, policy) or not may_have_real_time_priority()
    assert (ran.returncode == 0) is may_have_real_time_priority()
