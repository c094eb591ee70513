"""What a worker asks of the kernel and of the interpreter; in a process of its own where that cannot be undone."""

import gc
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from hedgerow.processes.process_tuning import (
    GC_THRESHOLD,
    configure_gc,
    preallocate_descriptor_table,
    raise_descriptor_limit,
)


@pytest.fixture
def restored() -> Iterator[None]:
    limits, thresholds = resource.getrlimit(resource.RLIMIT_NOFILE), gc.get_threshold()
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    gc.set_threshold(*thresholds)


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.mark.usefixtures("restored")
def test_the_soft_limit_of_descriptors_becomes_the_hard_one() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard - 1, hard))
    assert raise_descriptor_limit() == hard
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


@pytest.mark.parametrize("number", [1_000, 10**9], ids=["allowed", "beyond any limit"])
def test_preallocating_the_descriptor_table_leaves_no_descriptor(number: int) -> None:
    before = open_descriptors()
    preallocate_descriptor_table(number)
    assert open_descriptors() == before


@pytest.mark.usefixtures("restored")
def test_what_exists_at_the_start_is_never_collected_and_collections_are_rare() -> None:
    before = gc.get_freeze_count()
    new: list[object] = [[]]
    configure_gc()
    assert gc.get_freeze_count() > before
    assert not any(each is new for each in gc.get_objects())
    assert gc.get_threshold()[0] == GC_THRESHOLD
