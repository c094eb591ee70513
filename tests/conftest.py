"""What holds for every test."""

import pytest
from hypothesis import settings

settings.register_profile("without a clock", settings(), deadline=None)
settings.load_profile("without a clock")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let pytest-timeout end the process: uvloop, when idle, takes no notice of what a signal's handler raises."""
    for item in items:
        item.add_marker(pytest.mark.timeout(method="thread"))
