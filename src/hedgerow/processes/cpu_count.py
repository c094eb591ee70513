"""The number of CPUs that this process may use, for `--workers auto`."""

import os
from contextlib import suppress
from math import ceil
from pathlib import Path

OWN_CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus(own_cgroup: Path = OWN_CGROUP, cgroups: Path = CGROUPS) -> int:
    """Return the number of usable CPUs: by affinity, or fewer by the quota of a container or of systemd's `CPUQuota=`.

    A fraction of a CPU counts as one. Quotas are read from control groups v2 (`cpu.max` in
    Documentation/admin-guide/cgroup-v2.rst: microseconds in each period); without these there is no quota.
    """
    cpus = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError, ZeroDivisionError):
        (path,) = (line[3:] for line in own_cgroup.read_text().splitlines() if line.startswith("0::"))
        folder = cgroups / path.lstrip("/")
        while folder != cgroups.parent:  # each group is limited by its ancestors
            cpus = min(cpus, _quota(folder / "cpu.max", cpus))
            folder = folder.parent
    return cpus


def _quota(file: Path, cpus: int) -> int:
    with suppress(FileNotFoundError):  # the outermost group has no such file
        quota, period = file.read_text().split()
        if quota != "max":
            return max(ceil(int(quota) / int(period)), 1)
    return cpus
