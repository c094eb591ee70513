"""Notifications to the service manager (sd_notify(3))."""

import socket
from pathlib import Path

import pytest

from hedgerow.processes.systemd import READY, notify


@pytest.mark.parametrize("prefix", ["", "@"], ids=["a path", "an abstract name"])
def test_a_state_is_one_datagram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if prefix else name)
        monkeypatch.setenv("NOTIFY_SOCKET", prefix + name)
        notify(READY)
        assert manager.recv(4096).decode() == READY


@pytest.mark.parametrize("path", ["", "/no/such/socket", "@no such name"])
def test_without_a_service_manager_nothing_is_raised(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    notify(READY)


def test_a_service_manager_that_does_not_read_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        for _ in range(2_000):  # more than its queue holds (net.unix.max_dgram_qlen)
            notify(READY)
