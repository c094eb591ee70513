"""What holds for every test."""

import gc

from hypothesis import settings

settings.register_profile("without a clock", settings(), deadline=None)
settings.load_profile("without a clock")


def pytest_collection_finish() -> None:
    """Keep what was imported out of garbage collections, of which many tests make some: each took 0.1 s."""
    gc.collect()
    gc.freeze()
