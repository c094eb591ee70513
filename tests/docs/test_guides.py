"""The guides' files are accepted by `hedgerow check`, and are those of deploy/examples."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.markdown import ROOT
from support.processes import READ_TIMEOUT_S

GUIDES = ("internal-api", "replicas", "sidecar", "third-party-api")


@pytest.mark.parametrize("name", GUIDES)
def test_the_file_of_a_guide_is_accepted_and_shipped(tmp_path: Path, name: str) -> None:
    page = (ROOT / f"docs/guides/{name}.md").read_text()
    (block,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert block == (ROOT / f"deploy/examples/{name}.toml").read_text()
    file = tmp_path / "hedgerow.toml"
    file.write_text(block)
    command = [sys.executable, "-m", "hedgerow", "check", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=READ_TIMEOUT_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
