"""Programs from Debian that these tests run."""

import os
import shutil
from typing import NoReturn

import pytest


def tool(name: str) -> str:
    """Find a program; without it the test is skipped, or fails where nothing may be skipped."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        missing(f"{name} is not installed; see .ci/system-packages")
    return found


def missing(what: str) -> NoReturn:
    if os.environ.get("TESTS_NEED_ALL_TOOLS"):
        pytest.fail(what)
    pytest.skip(what)
