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


@pytest.fixture
def no_queue_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel had no bytes before they were read: its own clock is not the test's."""
    monkeypatch.setattr("hedgerow.server.connection.receive_queue_age_s", lambda _: 0.0)
