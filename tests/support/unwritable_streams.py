"""Descriptors to which nothing can be written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def full_disk() -> Iterator[int]:
    """Open a descriptor to which nothing can be written, for want of room."""
    with Path("/dev/full").open("wb", buffering=0) as full:
        yield full.fileno()


@contextmanager
def unread_pipe() -> Iterator[int]:
    """Open a descriptor on which every write blocks: a full pipe without a reader at work."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    os.set_blocking(writer, True)
    try:
        yield writer
    finally:
        os.close(reader)
        os.close(writer)
