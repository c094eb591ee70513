"""`python -m tools.reference`: write the generated tables and lists of the documentation; `--check`: only compare.

A generated part lies between `<!-- begin: NAME ... -->` and `<!-- end: NAME -->`. Settings and routes come from
their schemas, metrics from `/metrics` itself, limits from `settings/limits.py` and decisions from the head of each
record.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from hedgerow.configuration.sources import CONFIG_FLAG
from hedgerow.core.outcomes import FailureReason
from hedgerow.settings import limits
from hedgerow.settings.setting import all_settings
from hedgerow.telemetry.endpoint_counts import EndpointCounts
from hedgerow.telemetry.prometheus import render
from hedgerow.telemetry.snapshot import UNKNOWN, Histogram, RouteCounts, Snapshot
from tools.routes_reference import routes_tables

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"


def settings_table() -> Iterator[str]:
    """Yield one row for each setting of `hedgerow serve`."""
    yield from _head("flag", "default", "accepted", "meaning")
    yield _row(f"`{CONFIG_FLAG}`", "none", "the path of a TOML file", "the configuration file")
    for setting in all_settings().values():
        accepted = setting.accepted.removeprefix("a whole number from ")
        yield _row(f"`{setting.flag}`", f"`{setting.default}`", accepted, setting.description)


def metrics_table() -> Iterator[str]:
    """Yield one row for each metric, as a query selects it, and its HELP text; its name has the type."""
    yield from _head("metric", "meaning")
    for family in text_string_to_metric_families(render(everything_counted()).decode()):
        labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield _row(f"`{name}{{{','.join(labels)}}}`" if labels else f"`{name}`", family.documentation)


def everything_counted() -> Snapshot:
    """Return counts in which everything that can happen has happened, to one route of one upstream."""
    requests = ("success", "final", "all_failed", "out_of_time", "internal", "abandoned")
    of_route = RouteCounts(
        request_duration={outcome: Histogram() for outcome in requests},
        attempts={"1": {}, "2": {}, "3": {}},
        attempt_duration={outcome: Histogram() for outcome in ("success", "final", *FailureReason)},
        first_attempt_duration={
            outcome: Histogram() for outcome in ("success", "final", "all_failed", "out_of_time", UNKNOWN)
        },
        workers=1,
    )
    return Snapshot(
        routes={"/api/smart": {"default": of_route}},
        endpoints={"default": {"http://shop.internal:80 192.0.2.1:80": EndpointCounts()}},
        connections={"default": {"connecting": 0, "active": 0, "idle": 0, "loser": 0}},
    )


def limits_table(class_name: str) -> Iterator[str]:
    """Yield one row for each limit of a class of `settings/limits.py`, with the reason from its docstring."""
    yield from _head("limit", "value", "what it bounds, and why")
    tree = ast.parse(Path(limits.__file__).read_text())
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name)
    for field, reason in zip(found.body, found.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        assert isinstance(reason, ast.Expr) and isinstance(reason.value, ast.Constant)  # noqa: PT018, S101
        default = getattr(getattr(limits, class_name)(), field.target.id)
        text = " ".join(str(reason.value.value).split())
        yield _row(f"`{field.target.id}`", _with_unit(field.target.id, default), text)


def _with_unit(name: str, value: float) -> str:
    """Write a limit with its unit, which is the end of its name."""
    if name.endswith("_s"):
        return f"{value * 1000:g} ms" if value < 1 else f"{value:g} s"
    if name.endswith(("_bytes", "_memory")):
        return f"{value / 1024:g} KiB" if value < 1024 * 1024 else f"{value / 1024 / 1024:g} MiB"
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def decisions_list() -> Iterator[str]:
    """Yield one line for each decision record, with its status unless that is accepted."""
    for path in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        number, title, status, _ = decision(path)
        yield f"- [{number}: {title}]({path.name}){'' if status == 'accepted' else f' ({status})'}"


def decision(path: Path) -> tuple[str, str, str, str]:
    """Return number, title, status and date of a record; raises ValueError if its head has another form."""
    head = re.match(r"# (\d{4}): (.+)\n\nStatus: (.+)\.\nDate: (\d{4}-\d\d-\d\d)\n\n", path.read_text())
    if head is None or not path.name.startswith(head[1]):
        raise ValueError(
            f"{path.name}: its head must be '# NNNN: title', 'Status: ….' and 'Date: YYYY-MM-DD'"
        )
    return head[1], head[2], head[3], head[4]


def _head(*cells: str) -> Iterator[str]:
    yield _row(*cells)
    yield "|" + "---|" * len(cells)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


TABLES: Final[dict[str, tuple[str, Callable[[], Iterator[str]]]]] = {
    "settings": ("reference/configuration.md", settings_table),
    "routes": ("reference/routes.md", routes_tables),
    "metrics": ("reference/metrics.md", metrics_table),
    "client limits": ("reference/limits.md", lambda: limits_table("ClientLimits")),
    "upstream limits": ("reference/limits.md", lambda: limits_table("UpstreamLimits")),
    "decisions": ("decisions/README.md", decisions_list),
}
"""The page and the maker of each generated table."""


def with_table(text: str, name: str) -> str:
    """Return a page's text with one generated table made again; raises ValueError if it has no place for it."""
    begin, end = f"<!-- begin: {name} (python -m tools.reference) -->", f"<!-- end: {name} -->"
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"no place for {name!r}: the page needs '{begin}' and '{end}'")
    return "\n".join([before + begin, "", *TABLES[name][1](), "", end + after])


def outdated() -> dict[Path, str]:
    """Return the pages that are not as they would be written now, and their new text."""
    pages: dict[Path, str] = {}
    for name, (page, _) in TABLES.items():
        path = DOCS / page
        pages[path] = with_table(pages.get(path) or path.read_text(), name)
    return {path: text for path, text in pages.items() if text != path.read_text()}


def main(arguments: Sequence[str]) -> int:
    """Write or check; return the exit code."""
    pages = outdated()
    for path, text in pages.items():
        if "--check" in arguments:
            print(f"{path.relative_to(ROOT)} is out of date: run make docs", file=sys.stderr)
        else:
            path.write_text(text)
            print(f"{path.relative_to(ROOT)} written")
    return 1 if pages and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
