"""The diagram of docs/architecture.md is the layers of the import contract, and its arrows are imports."""

import re
import tomllib

import grimp

from docs.markdown import ROOT, table

ARCHITECTURE = ROOT / "docs" / "architecture.md"
DIAGRAM = re.search(r"```mermaid\n(.*?)```", ARCHITECTURE.read_text(), re.DOTALL)
assert DIAGRAM is not None


def contracted() -> list[set[str]]:
    """Return the modules of each layer of the contract, the highest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (
        contract["layers"] for contract in contracts if "hedgerow.request_task" in contract.get("layers", [])
    )
    return [{name.strip().removeprefix("hedgerow.") for name in layer.split("|")} for layer in layers]


def drawn() -> list[tuple[int, set[str]]]:
    """Return the number and the modules of each layer that is drawn, the highest first."""
    assert DIAGRAM is not None
    found = re.findall(r"^  subgraph L(\d) \[\d [^]]*\]; (.*); end$", DIAGRAM[1], re.MULTILINE)
    return [(int(number), set(modules.split("; "))) for number, modules in found]


def test_the_layers_drawn_are_those_of_the_contract() -> None:
    assert drawn() == list(zip(range(len(contracted()) - 1, -1, -1), contracted(), strict=True))


def test_the_layers_described_are_those_of_the_contract() -> None:
    rows = table(ARCHITECTURE, "Layers")
    described = [
        (int(number), {name.strip("/") for name in re.findall(r"`([^`]+)`", modules)})
        for number, modules, _ in rows
    ]
    assert described == drawn()


def test_every_arrow_is_an_import() -> None:
    assert DIAGRAM is not None
    lines = re.findall(r"^  (\w+) --> ([\w& ]+)$", DIAGRAM[1], re.MULTILINE)
    assert len(lines) == DIAGRAM[1].count("-->")
    graph = grimp.build_graph("hedgerow", cache_dir=None)
    for above, below in [(above, below) for above, all_below in lines for below in all_below.split(" & ")]:
        imports = graph.find_shortest_chains(f"hedgerow.{above}", f"hedgerow.{below}", as_packages=True)
        assert any(len(chain) == 2 for chain in imports), f"{above} does not import {below}"


def test_no_module_is_missing() -> None:
    """All but those that only start the others."""
    modules = {
        path.stem for path in (ROOT / "src" / "hedgerow").iterdir() if path.suffix == ".py" or path.is_dir()
    }
    of_python = {"__init__", "__main__", "__pycache__"}
    assert {name for _, names in drawn() for name in names} == modules - of_python
