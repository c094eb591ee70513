"""What is looked at before anything is started."""

import os
from pathlib import Path

import pytest
import trustme

from hedgerow.configuration.startup_checks import check_listen_host, check_named_files
from hedgerow.settings import InvalidSetting

OTEL = "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY"


@pytest.fixture
def certificates(tmp_path: Path) -> str:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    return str(file)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::", "localhost"])
def test_hosts_of_this_machine_can_be_looked_up(host: str) -> None:
    check_listen_host(host, "--host")


@pytest.mark.parametrize("host", ["nosuch.invalid", "fe80::1%no-such"])
def test_a_host_that_cannot_be_looked_up_is_rejected(host: str) -> None:
    with pytest.raises(InvalidSetting, match=f"^--admin-host: '{host}' is not accepted; give an address"):
        check_listen_host(host, "--admin-host")


def test_files_that_can_be_used_are_accepted(tmp_path: Path, certificates: str) -> None:
    named = {
        "SSL_CERT_FILE": certificates, "SSL_CERT_DIR": f"{tmp_path}:/", "SSLKEYLOGFILE": str(tmp_path / "keys"),
        OTEL: certificates,
    }  # fmt: skip
    check_named_files(named, is_tls=True, is_traced=True)
    check_named_files({}, is_tls=True, is_traced=True)


@pytest.mark.parametrize(
    ("variable", "kind", "why"),
    [
        ("SSL_CERT_FILE", "missing", "No such file"), ("SSL_CERT_FILE", "empty name", "No such file"),
        ("SSL_CERT_FILE", "directory", "regular file"), ("SSL_CERT_FILE", "fifo", "regular file"),
        ("SSL_CERT_FILE", "text", "certificates in PEM"), ("SSL_CERT_FILE", "empty", "certificates in PEM"),
        ("SSL_CERT_FILE", "loop", "symbolic links"),
        ("SSL_CERT_DIR", "missing", "No such file"), ("SSL_CERT_DIR", "text", "Not a directory"),
        ("SSL_CERT_DIR", "empty name", "no path"), ("SSL_CERT_DIR", "one of two", "No such file"),
        ("SSLKEYLOGFILE", "in missing", "No such file"), ("SSLKEYLOGFILE", "directory", "regular file"),
        ("SSLKEYLOGFILE", "fifo", "regular file"),
        (OTEL, "missing", "No such file"), (OTEL, "directory", "regular file"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_rejected(tmp_path: Path, variable: str, kind: str, why: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "text").write_text("no certificate")
    (tmp_path / "empty").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    given = {
        "empty name": "", "directory": str(tmp_path), "in missing": f"{tmp_path}/x/y",
        "one of two": f"{tmp_path}:/no/such",
    }.get(kind, str(tmp_path / kind))  # fmt: skip
    with pytest.raises(InvalidSetting) as caught:
        check_named_files({variable: given}, is_tls=True, is_traced=True)
    message = str(caught.value)
    assert message.startswith(f"{variable}: {given!r} is not accepted; give ")
    assert why in message
    assert len(message.splitlines()) == 1


def test_files_of_the_exporter_matter_only_where_traces_are_recorded() -> None:
    check_named_files({OTEL: "/no/such"}, is_tls=True, is_traced=False)


def test_certificates_are_parsed_only_where_the_upstream_needs_them(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no certificate")
    check_named_files({"SSL_CERT_FILE": str(tmp_path / "text")}, is_tls=False, is_traced=False)
    with pytest.raises(InvalidSetting, match="SSL_CERT_FILE"):
        check_named_files({"SSL_CERT_FILE": str(tmp_path / "none")}, is_tls=False, is_traced=False)
