"""How many workers `--workers auto` makes."""

import os
from pathlib import Path

import pytest

from hedgerow.processes.cpu_count import usable_cpus

CPUS = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("own", "quotas", "cpus"),
    [
        ("0::/\n", {"": "max 100000\n"}, CPUS),
        ("0::/\n", {"": "100000 100000\n"}, 1),
        ("0::/\n", {"": "50000 100000\n"}, 1),
        ("0::/\n", {"": "900000000 100000\n"}, CPUS),
        ("0::/\n", {"": "150000 100000\n"}, min(CPUS, 2)),
        ("0::/a/b\n", {"a": "100000 100000\n", "a/b": "max 100000\n"}, 1),
        ("0::/a/b\n", {"a/b": "100000 100000\n"}, 1),
        ("0::/a/b\n", {"c": "100000 100000\n"}, CPUS),
        ("4:cpu:/old\n0::/a\n", {"a": "100000 100000\n"}, 1),
        ("4:cpu:/old\n", {"": "100000 100000\n"}, CPUS),
        ("0::/\n", {"": "nonsense\n"}, CPUS),
        ("0::/\n", {"": "1 0\n"}, CPUS),
        ("0::/\n", {}, CPUS),
    ],
)
def test_a_quota_bounds_the_workers(tmp_path: Path, own: str, quotas: dict[str, str], cpus: int) -> None:
    (tmp_path / "own").write_text(own)
    root = tmp_path / "cgroups"
    for folder, quota in quotas.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "cpu.max").write_text(quota)
    assert usable_cpus(tmp_path / "own", root) == cpus


def test_where_nothing_is_known_the_cpus_count(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path / "nothing", tmp_path) == CPUS
