"""Tests mirror modules, so that where the tests of a module are is never a question; and no module is long."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES, TESTS = ROOT / "src/hedgerow", ROOT / "tests/unit"
SIMULATOR, SIMULATOR_TESTS = ROOT / "src/hedgerow_simulator", ROOT / "tests/simulator"

MAX_LINES = 250
"""Of a module: what is longer has more than one task."""

WITHOUT_TESTS = {
    "__main__.py": "takes signals of its process before it imports anything: tests/end_to_end/test_pid_1.py",
    "core/observer.py": "a protocol",
    "core/payload.py": "types, decoded in tests/unit/core/test_response_validation.py",
    "core/traces.py": "protocols",
    "eventloop/event_handler.py": "a base class without behaviour",
    "eventloop/poller.py": "a protocol, and constants of the kernel",
    "plan_command/source.py": "types",
    "server/context.py": "a value that connections share",
    "settings/routes.py": "types and their defaults; `configuration` checks what they hold",
    "settings/schema.py": "types and defaults; as rows: tests/unit/settings/test_setting.py",
    "telemetry/endpoint_counts.py": "types",
    "telemetry/request_record.py": "types",
    "tracing/attempt_span.py": "a part of `RecordedTrace`: tests/unit/tracing/test_request_spans.py",
    "upstream/endpoint.py": "a record; what is done with it: tests/unit/upstream/test_endpoints.py",
    "upstream/tcp_socket.py": "a part of `Connecting`: tests/unit/upstream/test_connecting.py",
}
"""Below `src/hedgerow`, with the reason."""


def has_code(module: Path) -> bool:
    """Return whether a module has more than its docstring, imports and the names that these bring."""
    passive = ast.Expr | ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign
    return any(not isinstance(node, passive) for node in ast.parse(module.read_text()).body)


def expected_file(module: Path) -> Path:
    """Return where the tests of a module of the gateway are."""
    package = TESTS / module.parent.relative_to(SOURCES)
    return package / f"test_{module.parent.name if module.name == '__init__.py' else module.stem}.py"


MODULES = [path for path in sorted(SOURCES.rglob("*.py")) if path.name != "__init__.py" or has_code(path)]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_every_module_has_its_tests(module: Path) -> None:
    is_exempt = str(module.relative_to(SOURCES)) in WITHOUT_TESTS
    assert expected_file(module).is_file() != is_exempt, expected_file(module)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_no_module_is_long(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= MAX_LINES


def test_exemptions_are_of_modules_that_exist() -> None:
    assert set(WITHOUT_TESTS) <= {str(path.relative_to(SOURCES)) for path in MODULES}


@pytest.mark.parametrize(
    "tests", sorted(TESTS.rglob("test_*.py")), ids=lambda path: str(path.relative_to(TESTS))
)
def test_every_unit_test_is_named_after_its_module(tests: Path) -> None:
    """`test_pool.py`, or `test_pool_histories.py` where there are several files for one module."""
    package = SOURCES / tests.parent.relative_to(TESTS)
    modules = {path.stem for path in package.glob("*.py")} | {package.name}
    name = tests.stem.removeprefix("test_")
    assert any(name == module or name.startswith(module + "_") for module in modules)


def test_every_module_of_the_simulator_has_its_tests() -> None:
    modules = {
        path.stem for path in SIMULATOR.glob("*.py") if has_code(path) and not path.stem.startswith("__")
    }
    packages = {path.parent.name for path in SIMULATOR.glob("*/__init__.py")}
    tested = {path.stem.removeprefix("test_") for path in SIMULATOR_TESTS.glob("test_*.py")}
    assert (modules | packages) - tested == set()
