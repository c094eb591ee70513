"""What holds for every test."""

import gc

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "without a clock", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("without a clock")


def pytest_collection_finish() -> None:
    """Keep what was imported out of garbage collections, of which many tests make some: each took 0.1 s."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say in one line what was not run."""
    left_out = [f"{len(terminalreporter.stats.get('skipped', []))} skipped for want of a program"]
    if config.option.markexpr:
        left_out.append(f'only "{config.option.markexpr}"')
    terminalreporter.write_line(
        f"{', '.join(left_out)}; `make test-all` runs every test (.ci/system-packages)"
    )
