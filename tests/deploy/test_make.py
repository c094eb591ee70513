"""Which build `make run` and `make install` make, by what they would do. CI runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def dry_run(target: str, *arguments: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--dry-run", target, f"PYTHON={sys.executable}", *arguments],
        cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("target", ["run", "install"])
def test_without_a_c_compiler_the_build_is_plain_and_says_why(target: str, tmp_path: Path) -> None:
    printed = dry_run(target, f"VENV={tmp_path}", CC="/no/such/compiler -O2")
    assert "hedgerow: plain build (no C compiler: /no/such/compiler is not there)" in printed
    assert "compiled-wheel.sh" not in printed
    assert ("bin/hedgerow serve" in printed) is (target == "run")


@pytest.mark.parametrize("target", ["run", "install"])
def test_with_a_c_compiler_it_is_compiled(target: str, tmp_path: Path) -> None:
    printed = dry_run(target, f"VENV={tmp_path}", CC="sh")
    assert "deploy/compiled-wheel.sh" in printed
    assert '"hedgerow: compiled build"' in printed
    assert "plain build" not in printed


@pytest.mark.parametrize("target", ["run", "install"])
def test_with_compiled_0_it_is_plain(target: str, tmp_path: Path) -> None:
    printed = dry_run(target, f"VENV={tmp_path}", "COMPILED=0", CC="sh")
    assert '"hedgerow: plain build"' in printed
    assert "compiled-wheel.sh" not in printed


@pytest.mark.parametrize("target", ["test", "check"])
def test_what_is_tested_and_checked_is_the_source_as_it_is(target: str, tmp_path: Path) -> None:
    assert "compiled-wheel.sh" not in dry_run(target, f"VENV={tmp_path}", CC="sh")
    assert "compiled-wheel.sh" in dry_run(target, f"VENV={tmp_path}", "COMPILED=1", CC="sh")
