"""What is looked at before anything is started."""

import os
from pathlib import Path
from typing import Any

import pytest
import trustme

from hedgerow.configuration.sources import Effective
from hedgerow.configuration.startup_checks import (
    check_addresses,
    check_named_files,
    check_tracing,
    is_tls,
    look_up_hosts,
)
from hedgerow.settings import InvalidSetting, Settings, parse_target
from hedgerow.settings.routes import RouteRule, UpstreamRule
from hedgerow.settings.upstream_url import EMBEDDED_TARGET

OTEL = "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY"


@pytest.fixture
def certificates(tmp_path: Path) -> str:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    return str(file)


def check(**settings: Any) -> None:
    found = Settings(**settings)
    check_addresses(found, "--{}".format, look_up_hosts(found, "--{}".format))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::", "localhost"])
def test_hosts_of_this_machine_can_be_looked_up(host: str) -> None:
    check(host=host, admin_host=host)


@pytest.mark.parametrize("name", ["host", "admin_host"])
@pytest.mark.parametrize("host", ["nosuch.invalid", "fe80::1%no-such"])
def test_a_host_that_cannot_be_looked_up_is_rejected(name: str, host: str) -> None:
    with pytest.raises(InvalidSetting, match=f"^--{name}: '{host}' is not accepted; give an address"):
        check(**{name: host})


@pytest.mark.parametrize(
    ("host", "admin_host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0"),
        ("::", "127.0.0.1"),
        ("::1", "::"),
    ],
)
def test_one_port_for_both_is_rejected_by_both_names(host: str, admin_host: str) -> None:
    with pytest.raises(
        InvalidSetting, match=r"^--admin_port: 9 is not accepted; give another port than 9, by --port"
    ):
        check(host=host, admin_host=admin_host, port=9, admin_port=9)
    check(host=host, admin_host=admin_host, port=0, admin_port=0)


def test_one_port_at_two_addresses_is_accepted() -> None:
    check(host="127.0.0.1", admin_host="127.0.0.2", port=9, admin_port=9)


@pytest.mark.parametrize(
    ("host", "upstream", "is_own"),
    [
        ("127.0.0.1", "http://127.0.0.1:9/", True), ("127.0.0.1", "http://localhost:9/", True),
        ("0.0.0.0", "http://127.0.0.1:9/", True), ("::", "http://[::1]:9/", True),
        ("localhost", "http://127.0.0.1:9/", True),
        ("127.0.0.2", "http://127.0.0.2:9/", True), ("127.0.0.2", "http://127.0.0.1:9/", False),
        ("127.0.0.1", "http://127.0.0.1:10/", False), ("0.0.0.0", "http://example.org:9/", False),
        ("127.0.0.1", "embedded", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("which", ["", "admin_"])
def test_the_gateway_is_not_its_own_upstream(which: str, host: str, upstream: str, is_own: bool) -> None:
    given: dict[str, Any] = {f"{which}host": host, f"{which}port": 9, "upstream": upstream}
    if not is_own:
        check(**given)
        return
    with pytest.raises(InvalidSetting, match=f"^--upstream: .* is not accepted; .* --{which}port makes"):
        check(**given)


def test_files_that_can_be_used_are_accepted(tmp_path: Path, certificates: str) -> None:
    named = {
        "SSL_CERT_FILE": certificates, "SSL_CERT_DIR": f"{tmp_path}:/", "SSLKEYLOGFILE": str(tmp_path / "keys"),
        OTEL: certificates,
    }  # fmt: skip
    check_named_files(named, is_tls=True, is_traced=True)
    assert not (tmp_path / "keys").exists(), "a check leaves nothing behind"
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
        ("SSLKEYLOGFILE", "in missing", "written to"), ("SSLKEYLOGFILE", "directory", "regular file"),
        ("SSLKEYLOGFILE", "empty name", "written to"), ("SSLKEYLOGFILE", "loop", "symbolic links"),
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


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_BSP_SCHEDULE_DELAY", "x"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "-5"),
    ],
)
def test_variables_that_a_worker_could_not_begin_with_are_rejected(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    check_tracing(0.5, "--trace-sample")
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSetting, match=variable):
        check_tracing(0.5, "--trace-sample")


SHOP = "'h.toml', line 2: upstreams.shop.endpoints"


def check_routes(*endpoints: str) -> None:
    upstreams = (UpstreamRule(name="shop", endpoints=tuple(map(parse_target, endpoints))),)
    found = Settings(port=9, routes=(RouteRule(name="/", path="/", upstream="shop"),), upstreams=upstreams)
    sources = Effective(found, {"upstreams.shop": SHOP}, [])
    check_addresses(found, sources.source_of, look_up_hosts(found, sources.source_of))


def test_an_endpoint_that_is_the_gateway_itself_is_rejected_by_its_line() -> None:
    check_routes("http://127.0.0.1:10/", "http://h:9/")
    with pytest.raises(InvalidSetting) as caught:
        check_routes("http://127.0.0.1:10/", "http://localhost:9/?key=s3cr3t")
    assert str(caught.value).startswith(
        f"{SHOP}: 'http://localhost:9/?key=***' is not accepted; give another server"
    )


def test_tls_is_spoken_where_an_endpoint_is_of_https() -> None:
    upstreams = tuple(
        UpstreamRule(name=name, endpoints=(parse_target(f"{name}://h"),)) for name in ("http", "https")
    )
    routes = (RouteRule(name="/", path="/", upstream="http"),)
    assert is_tls(Settings(upstream="https://h"))
    assert not is_tls(Settings(upstream="http://h"))
    assert not is_tls(Settings())
    assert is_tls(Settings(routes=routes, upstreams=upstreams))
    assert not is_tls(Settings(routes=routes, upstreams=upstreams[:1]))
    assert not is_tls(
        Settings(routes=routes, upstreams=(UpstreamRule(name="http", endpoints=(EMBEDDED_TARGET,)),))
    )
