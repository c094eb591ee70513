"""How many CPUs this process may keep busy: `--workers auto`."""

import os
from contextlib import suppress
from math import ceil
from pathlib import Path

OWN_CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus(own_cgroup: Path = OWN_CGROUP, cgroups: Path = CGROUPS) -> int:
    """Tell the CPUs that we may run on, or fewer if a quota allows less time: of containers, or `CPUQuota=` of systemd.

    A part of a CPU counts as one. Quotas are read as Linux' control groups of version 2 have them (`cpu.max` in
    Documentation/admin-guide/cgroup-v2.rst: microseconds in each period); where there are none, none is known.
    """
    cpus = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError, ZeroDivisionError):
        (path,) = (line[3:] for line in own_cgroup.read_text().splitlines() if line.startswith("0::"))
        folder = cgroups / path.lstrip("/")
        while folder != cgroups.parent:  # each group is bound by those around it
            cpus = min(cpus, _quota(folder / "cpu.max", cpus))
            folder = folder.parent
    return cpus


def _quota(file: Path, cpus: int) -> int:
    with suppress(FileNotFoundError):  # the outermost group has no such file
        quota, period = file.read_text().split()
        if quota != "max":
            return max(ceil(int(quota) / int(period)), 1)
    return cpus
