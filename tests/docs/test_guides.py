"""The guides' files are accepted by `hedgerow check`, and are those of deploy/examples."""

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from docs.markdown import ROOT
from support.processes import READ_TIMEOUT_S

GUIDES = ("internal-api", "replicas", "sidecar", "third-party-api")


@pytest.mark.parametrize("name", GUIDES)
def test_the_file_of_a_guide_is_accepted_and_shipped(tmp_path: Path, name: str) -> None:
    page = (ROOT / f"docs/guides/{name}.md").read_text()
    (block,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert block == (ROOT / f"deploy/examples/{name}.toml").read_text()
    assert_accepted(tmp_path / "hedgerow.toml", block)


def test_the_first_file_of_a_newcomer_is_accepted(tmp_path: Path) -> None:
    (block,) = re.findall(
        r"^```toml\n(.*?)^```$", (ROOT / "docs/getting-started.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert_accepted(tmp_path / "started.toml", block)
    (block,) = re.findall(
        r"^    (\[upstreams\..*?\n)\n[^ ]", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert_accepted(tmp_path / "readme.toml", dedent(" " * 4 + block))


def assert_accepted(file: Path, content: str) -> None:
    file.write_text(content)
    command = [sys.executable, "-m", "hedgerow", "check", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=READ_TIMEOUT_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "[[routes]]" in content
