"""Programs from Debian that some tests run."""

import os
import shutil
from typing import NoReturn

import pytest


def tool(name: str) -> str:
    """Return the path of a program. Without it the test is skipped, or fails where nothing may be skipped."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        missing(f"{name} is not installed; see .ci/system-packages")
    return found


def missing(what: str) -> NoReturn:
    """Skip the test, or fail where `TESTS_NEED_ALL_TOOLS` says that nothing may be skipped."""
    if os.environ.get("TESTS_NEED_ALL_TOOLS"):
        pytest.fail(what)
    pytest.skip(what)
