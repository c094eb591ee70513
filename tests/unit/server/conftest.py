"""A server that the test iterates."""

from collections.abc import Iterator

import pytest

from support.server_harness import ServerHarness


@pytest.fixture
def harness() -> Iterator[ServerHarness]:
    """A server with the usual limits."""
    harness = ServerHarness()
    yield harness
    harness.close()
