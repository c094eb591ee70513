"""docs/reference/routes.md has every key of the schema, and its examples are files that are accepted."""

import re
import tomllib
from pathlib import Path

import pytest

from docs.markdown import ROOT
from support.routing_files import KEYS, read_text
from tools.routes_reference import tables

PAGE = ROOT / "docs" / "reference" / "routes.md"
BLOCKS = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_every_key_is_in_a_table() -> None:
    documented = {
        f"{heading.strip('`')}.{row[0].strip('`')}" for heading, rows in tables().items() for row in rows
    }
    assert len(documented) == len(KEYS)


def test_there_are_examples() -> None:
    assert BLOCKS


@pytest.mark.parametrize("block", BLOCKS)
def test_each_example_is_accepted(tmp_path: Path, block: str) -> None:
    assert tomllib.loads(block)
    assert read_text(tmp_path, block).routes
