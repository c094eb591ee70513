"""A pool and its upstream for a test, closed after it."""

from collections.abc import Iterator

import pytest

from support.upstream_bench import MakeBench, UpstreamBench


@pytest.fixture
def make_bench() -> Iterator[MakeBench]:
    made: list[UpstreamBench] = []

    def make(**options: object) -> UpstreamBench:
        made.append(UpstreamBench(**options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make_bench: MakeBench) -> UpstreamBench:
    return make_bench()
