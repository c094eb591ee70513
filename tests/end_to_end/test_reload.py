"""SIGHUP with a settings file: read again, used if it is good, reported if it is not, and nothing lost."""

import http.client
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.process_fixtures import Serve
from support.processes import READ_TIMEOUT_S, GatewayProcess

NOWHERE = "upstream = 'http://127.0.0.1:1/'\naccess-log = 'off'\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "hedgerow.toml"
    file.write_text(f"{NOWHERE}hedges = 0\n")
    return file


def attempts(command: GatewayProcess) -> int:
    """Return how many attempts a request has now: its upstream refuses each."""
    return len(command.get("?timeout=2000")[1]["attempts"])


def configuration(command: GatewayProcess) -> Any:
    return command.status()["configuration"]


def hang_up(command: GatewayProcess) -> None:
    """Send SIGHUP and wait until each worker has been replaced."""
    before = command.children()
    command.process.send_signal(signal.SIGHUP)
    assert not psutil.wait_procs(before, timeout=READ_TIMEOUT_S)[1]
    command.until_all_ready()


def logged(command: GatewayProcess, event: str) -> list[dict[str, Any]]:
    """Stop the gateway, and return its log lines of an event."""
    command.process.send_signal(signal.SIGTERM)
    _, errors = command.process.communicate(timeout=READ_TIMEOUT_S)
    assert command.process.returncode == 0
    return [line for line in map(json.loads, errors.splitlines()) if line["event"] == event]


def test_a_good_file_is_used_by_the_new_workers(serve: Serve, file: Path) -> None:
    command = serve("--config", str(file), "--hedge-after-ms=0")
    loaded_at = configuration(command)["loaded_at"]
    assert attempts(command) == 1
    file.write_text(f"{NOWHERE}hedges = 1\nlog-level = 'debug'\n")
    hang_up(command)
    assert attempts(command) == 2
    found = configuration(command)
    assert found["loaded_at"] > loaded_at
    assert found["error"] is None
    assert found["needs_restart"] == [f"'{file}', line 4: log-level"]
    (line,) = logged(command, "settings need a restart")
    assert line["settings"] == found["needs_restart"]


def test_a_bad_file_changes_nothing_and_is_reported(serve: Serve, file: Path) -> None:
    command = serve("--config", str(file))
    before = command.children()
    file.write_text(f"{NOWHERE}hedges = 17\n")
    command.process.send_signal(signal.SIGHUP)
    while (error := configuration(command)["error"]) is None:
        pass
    assert error == f"'{file}', line 3: hedges: 17 is not accepted; give a whole number from 0 to 16"
    assert command.children() == before, "no worker was replaced"
    assert attempts(command) == 1
    (line,) = logged(command, "configuration rejected")
    assert line["reason"] == error


def test_a_file_that_is_gone_changes_nothing(serve: Serve, file: Path) -> None:
    command = serve("--config", str(file))
    file.unlink()
    command.process.send_signal(signal.SIGHUP)
    while (error := configuration(command)["error"]) is None:
        pass
    assert error.startswith(f"--config: '{file}' is not accepted")
    assert attempts(command) == 1


class Client:
    """Sends requests without a pause on one connection after the other, until it is stopped."""

    def __init__(self, authority: str) -> None:
        self.answered, self.lost = 0, list[str]()
        self._authority = authority
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            connection = http.client.HTTPConnection(self._authority, timeout=READ_TIMEOUT_S)
            try:
                connection.request("GET", "/api/smart")
                self.answered += connection.getresponse().status == 502
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
            finally:
                connection.close()

    def stop(self) -> None:
        self._is_stopping.set()
        self._thread.join()


@pytest.fixture
def clients() -> Iterator[list[Client]]:
    clients: list[Client] = []
    yield clients
    for client in clients:
        client.stop()


def test_reloads_lose_no_request(serve: Serve, file: Path, clients: list[Client]) -> None:
    command = serve("--config", str(file), "--workers=2", "--hedge-after-ms=0")
    command.until_all_ready()
    clients.extend(Client(command.authority) for _ in range(4))
    for hedges in (1, 0, 1):
        file.write_text(f"{NOWHERE}hedges = {hedges}\n")
        hang_up(command)
        file.write_text("hedges =")
        command.process.send_signal(signal.SIGHUP)
    assert attempts(command) == 2
    for client in clients:
        client.stop()
    assert [client.lost for client in clients] == [[]] * 4
    assert all(client.answered for client in clients)
