"""The layers of docs/architecture.md are those of the import contract, and have every module."""

import re
import tomllib

from docs.markdown import ROOT, table


def contracted() -> list[set[str]]:
    """Return the modules of each layer of the contract, the highest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (
        contract["layers"] for contract in contracts if "hedgerow.request_task" in contract.get("layers", [])
    )
    return [{name.strip().removeprefix("hedgerow.") for name in layer.split("|")} for layer in layers]


def described() -> list[tuple[int, set[str]]]:
    """Return the number and the modules of each layer of the page, the highest first."""
    return [
        (int(number), {name.strip("/") for name in re.findall(r"`([^`]+)`", modules)})
        for number, modules, _ in table(ROOT / "docs" / "architecture.md", "Layers")
    ]


def test_the_layers_described_are_those_of_the_contract() -> None:
    assert described() == list(zip(range(len(contracted()) - 1, -1, -1), contracted(), strict=True))


def test_no_module_is_missing() -> None:
    """All but those that only start the others."""
    modules = {
        path.stem for path in (ROOT / "src" / "hedgerow").iterdir() if path.suffix == ".py" or path.is_dir()
    }
    of_python = {"__init__", "__main__", "__pycache__"}
    assert {name for _, names in described() for name in names} == modules - of_python
