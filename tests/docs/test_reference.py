"""The reference says what the code says: what is generated is up to date, what is written by hand is complete."""

import json
import re
from typing import Any

import msgspec
import pytest

from docs.markdown import ROOT, table
from hedgerow.admin.openapi import document
from hedgerow.settings import Settings
from hedgerow.status.report_schema import Status
from tools.capacity_chart import CHART, drawing
from tools.reference import decision, outdated, with_table

REFERENCE = ROOT / "docs" / "reference"
OPENAPI: dict[str, Any] = json.loads(document(Settings(), 8080))


def test_generated_tables_are_up_to_date() -> None:
    assert [str(path.relative_to(ROOT)) for path in outdated()] == []


def test_the_chart_is_drawn_from_the_results() -> None:
    assert CHART.read_text() == drawing()


def test_a_page_without_a_place_for_its_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place for 'settings'"):
        with_table("# Configuration\n", "settings")


def test_a_record_without_status_is_an_error(tmp_path: Any) -> None:
    record = tmp_path / "0001-some-title.md"
    record.write_text("# 0001: Some title\n\n## Context\n")
    with pytest.raises(ValueError, match=r"0001-some-title\.md"):
        decision(record)


def test_error_codes_are_those_of_the_openapi_document() -> None:
    written = {
        (int(status), code)
        for status, codes, _ in table(REFERENCE / "http-api.md", "Errors")
        for code in re.findall(r"`(\w+)`", codes)
    }
    declared = {(404, "not_found"), (405, "method_not_allowed")}  # of any other path and method
    for status, response in OPENAPI["paths"]["/api/smart"]["get"]["responses"].items():
        for content in response["content"].values():
            codes = content["schema"].get("properties", {}).get("code", {}).get("enum", ())
            declared |= {(int(status), code) for code in codes}
    assert written == declared


def test_failure_reasons_are_those_of_the_openapi_document() -> None:
    rows = table(REFERENCE / "http-api.md", "What a success is")
    written = {reason for row in rows for reason in re.findall(r"`(\w+)`", row[0])}
    declared = OPENAPI["components"]["schemas"]["Attempt"]["properties"]["outcome"]["enum"]
    assert written | {"pending", "held"} == set(declared)


def test_every_field_of_status_json_is_described() -> None:
    _, schemas = msgspec.json.schema_components([Status], ref_template="{name}")
    fields = {name for schema in schemas.values() for name in schema.get("properties", ())}
    described = set(re.findall(r"`(?:hedging\.)?(\w+)`", (REFERENCE / "status-json.md").read_text()))
    assert fields - described == set()


def test_every_log_event_is_one_of_the_source() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src/hedgerow").rglob("*.py"))
    events = re.findall(r"^- `(.+?)` \(", (REFERENCE / "logs.md").read_text(), re.MULTILINE)
    assert events
    assert [event for event in events if f'"{event}"' not in source] == []
