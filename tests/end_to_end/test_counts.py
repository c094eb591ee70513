"""The gateway and the simulator, each the real command: what the one counts, the other has seen."""

import re
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.process_fixtures import Serve
from support.processes import READ_TIMEOUT_S, GatewayProcess, attempt_outcomes, simulator

REASONS_OF = {
    "ok": {"success"},
    "error": {"status_5xx"},
    "too_many": {"status_429"},
    "truncated": {"bad_json"},
    "not_json": {"bad_json"},
    "wrong_type": {"bad_payload"},
    "reset": {"reset"},
    "hang": {"timeout"},
}
"""What an attempt comes to whose request was answered by this fault."""


def attempts(metrics: dict[str, float]) -> Counter[str]:
    """Add the attempts up by what they came to."""
    counted: Counter[str] = Counter()
    for name, value in metrics.items():
        found = re.fullmatch(r'hedgerow_attempts_total\{attempt="[123]",outcome="(\w+)"\}', name)
        if found is not None and value:
            counted[found[1]] += int(value)
    return counted


def when_all_have_ended(command: GatewayProcess, requests: int) -> dict[str, float]:
    """Ask for the counts until no attempt runs any more: nothing reports the end of the last loser."""
    while True:
        metrics = command.metrics()
        counted = sum(value for name, value in metrics.items() if name.startswith("hedgerow_requests_total{"))
        run_on = sum(
            metrics[f'hedgerow_upstream_connections{{state="{state}"}}'] for state in ("connecting", "active")
        )
        if counted == requests and not run_on:
            return metrics


def ask_and_leave(command: GatewayProcess) -> int | None:
    """Ask, hang up, and read what comes: nothing (None), unless the answer was faster."""
    host, _, port = command.authority.partition(":")
    with socket.create_connection((host, int(port)), timeout=READ_TIMEOUT_S) as client:
        client.sendall(b"GET /api/smart HTTP/1.1\r\nHost: x\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as reader:
            line = reader.readline()
    return int(line.split()[1]) if line else None


@pytest.mark.parametrize(
    ("script", "status", "outcomes"),
    [
        ("error@0,hang,ok@0", 200, []),
        ("too_many@0,reset@0,not_json@0", 502, ["status_429", "reset", "bad_json"]),
    ],
)
def test_a_script_is_played_through_both_commands(
    serve: Serve, script: str, status: int, outcomes: list[str]
) -> None:
    with simulator("--seed=7") as upstream:
        command = serve("--upstream", f"{upstream.url}?script={script}", "--hedge-after-ms=20")
        given, body = command.get("?timeout=60000")
        assert given == status
        assert (attempt_outcomes(body) if given != 200 else []) == outcomes
        assert sum(Counter(upstream.stats()["by_fault"]).values()) == 3


def test_c14_attempts_counted_are_requests_seen_with_faults_and_with_clients_that_disconnect(
    serve: Serve,
) -> None:
    shares = [
        "--error-rate=0.2",
        "--too-many-rate=0.1",
        "--malformed-rate=0.1",
        "--reset-rate=0.1",
        "--hang-rate=0.02",
    ]
    with simulator("--seed=7", "--latency-ms=1-40", *shares) as upstream:
        flags = ["--hedge-after-ms=15", "--loser-grace-ms=1000", "--access-log=off", "--shedding=off"]
        command = serve("--upstream", upstream.url, *flags)
        with ThreadPoolExecutor(8) as clients:
            answers = [clients.submit(command.get, "?timeout=500") for _ in range(160)]
            disconnects = [clients.submit(ask_and_leave, command) for _ in range(40)]
        metrics, by_fault = when_all_have_ended(command, requests=200), Counter(upstream.stats()["by_fault"])

    outcomes = attempts(metrics)
    assert outcomes.total() == by_fault.total() + metrics["hedgerow_upstream_reused_connection_retries_total"]
    for reason in set(outcomes) | set().union(*REASONS_OF.values()):
        assert outcomes[reason] == sum(
            by_fault[fault] for fault, reasons in REASONS_OF.items() if reason in reasons
        ), reason

    answered = [each.result()[0] for each in answers] + [
        each.result() for each in disconnects if each.result()
    ]
    left = len(answers) + len(disconnects) - len(answered)
    statuses = Counter(answered)
    requests = {
        outcome: metrics.get(f'hedgerow_requests_total{{outcome="{outcome}"}}', 0)
        for outcome in ("success", "all_failed", "out_of_time", "abandoned")
    }
    assert requests == {
        "success": statuses[200],
        "all_failed": statuses[502],
        "out_of_time": statuses[504],
        "abandoned": left,
    }
    assert metrics["hedgerow_client_disconnects_total"] == left > 0
