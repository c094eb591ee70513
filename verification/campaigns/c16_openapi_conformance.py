"""C16: both ports asked as `/openapi.json` says, and as it says not to; every answer is held against it.

Schemathesis makes the requests from the document that the gateway serves, and judges the answers.
"""

import json
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from support.processes import READ_TIMEOUT_S, simulator
from verification.harness.campaign import Campaign, Findings, counted
from verification.harness.processes import gateway

SMART = "/api/smart"
SMART_EXAMPLES = 6_000
"""For each way to ask (GET, HEAD), of valid data and of other data together."""
OPERATIONS_EXAMPLES = 100
"""The same; most paths of the admin port have no parameters, so there is little to vary."""
UPSTREAM = (
    "--latency-ms=0-20", "--error-rate=0.2", "--malformed-rate=0.1", "--reset-rate=0.05", "--hang-rate=0.005",
)  # fmt: skip
"""So that hedges leave (after 10 ms), and 502 and 504 come, too."""


PATIENCE = ("--default-timeout-ms=500", "--max-timeout-ms=500")
"""An attempt that hangs keeps its request waiting for this long."""


def configured(base_url: str, seed: int, examples: int) -> SchemathesisConfig:
    """Choose what schemathesis does. All that is not named here is its default: every check, every phase."""
    return SchemathesisConfig.from_dict(
        {
            "base-url": base_url,
            "seed": seed,
            "request-timeout": READ_TIMEOUT_S,
            "continue-on-failure": True,
            "suppress-health-check": ["all"],
            "phases": {"coverage": {"generate-duplicate-query-parameters": True}},
            "generation": {"max-examples": examples, "database": "none"},
            "checks": {
                # These are the upstream's doing, and described; a 500 is ours.
                "not_a_server_error": {"expected-statuses": ["2xx", "4xx", "502", "503", "504"]},
                "negative_data_rejection": {"expected-statuses": ["400", "404", "405"]},
            },
        }
    )


def ask(
    document: Mapping[str, Any], paths: list[str], config: SchemathesisConfig, findings: Findings
) -> Counter[str]:
    """Ask these paths; return how often each status came."""
    part = {**document, "paths": {path: document["paths"][path] for path in paths}}
    statuses: Counter[str] = Counter()
    for scenario in scenarios(
        from_schema(schemathesis.openapi.from_dict(part, config=config)).execute(), findings
    ):
        for interaction in scenario.recorder.interactions.values():
            findings.count += 1
            statuses["none" if interaction.response is None else str(interaction.response.status_code)] += 1
        for case_id, checks in scenario.recorder.checks.items():
            for check in checks:
                if check.status is Status.FAILURE:
                    case = scenario.recorder.cases[case_id].value
                    findings.violation(check.name, f"{case.as_curl_command()}: {check.failure_info}")
    return statuses


def scenarios(stream: Iterator[events.EngineEvent], findings: Findings) -> Iterator[events.ScenarioFinished]:
    """Pass on what was tried. What schemathesis could not do is a violation: nothing may go untried unseen."""
    for event in stream:
        if isinstance(event, events.ScenarioFinished):
            yield event
        elif isinstance(event, events.NonFatalError | events.FatalError):
            findings.violation("everything can be tried", event)


def run(seed: int, share: float) -> Findings:
    """Ask a gateway in front of a faulty upstream."""
    findings = Findings()
    with (
        simulator(f"--seed={seed}", *UPSTREAM) as upstream,
        gateway("--upstream", upstream.url, "--hedge-after-ms=10", *PATIENCE) as served,
    ):
        with urllib.request.urlopen(served.admin + "/openapi.json", timeout=READ_TIMEOUT_S) as answer:
            document = json.loads(answer.read())
        main = f"http://127.0.0.1:{served.port}"
        of_smart = ask(document, [SMART], configured(main, seed, counted(SMART_EXAMPLES, share)), findings)
        others = [path for path in document["paths"] if path != SMART]
        few = configured(served.admin, seed, counted(OPERATIONS_EXAMPLES, share))
        of_others = ask(document, others, few, findings)
        metrics = served.metrics()
        findings.check(
            metrics["hedgerow_internal_errors_total"] == 0,
            "no internal error",
            metrics["hedgerow_internal_errors_total"],
        )
        findings.check("Traceback" not in served.log(), "nothing is raised", served.log()[-500:])
    for name, statuses in (("main port", of_smart), ("admin port", of_others)):
        findings.figures[name] = ", ".join(f"{status} {times}" for status, times in sorted(statuses.items()))
    return findings


CAMPAIGN = Campaign(
    id="C16",
    title="the contract in /openapi.json",
    proves="What both ports answer, to valid requests and to others, is what their OpenAPI document says.",
    acceptance_threshold="10 000 cases, 0 failures",
    run=run,
)
