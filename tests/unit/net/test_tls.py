import errno
import os
import socket
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from msgspec import convert

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.net.tls import check_tls, client_context, error_text, read_failure, server_name
from hedgerow.settings import InvalidSetting
from hedgerow.settings.routes import TlsRule


def ssl_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] {reason.lower().replace('_', ' ')} (_ssl.c:1020)")
    error.reason = reason
    return error


def certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error.verify_message = "certificate has expired"
    return error


def test_u05_the_context_verifies_and_speaks_tls_1_2_or_later() -> None:
    context = client_context(TlsRule())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "Connection refused"),
        (OSError(errno.ENETUNREACH, ""), "Network is unreachable"),
        (OSError("without a number"), "without a number"),
        (OSError(), "OSError"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (socket.gaierror("odd"), "odd"),
        (certificate_error(), "certificate: certificate has expired"),
        (ssl_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "TLS alert from the upstream: certificate required"),
        (ssl_error("TLSV1_ALERT_UNKNOWN_CA"), "TLS alert from the upstream: unknown ca"),
        (ssl_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), "TLS alert from the upstream: handshake failure"),
        (ssl_error("WRONG_VERSION_NUMBER"), "TLS: wrong version number"),
        (ssl.SSLError(1, "no reason"), "no reason"),
        (
            ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
            "the upstream closed the connection during the TLS handshake",
        ),
    ],
)
def test_c9_reasons_are_words(error: OSError, text: str) -> None:
    assert error_text(error) == text


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (
            ConnectionResetError(errno.ECONNRESET, "x"),
            Failure(FailureReason.RESET, "Connection reset by peer"),
        ),
        (
            ssl_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"),
            Failure(FailureReason.TLS, "TLS alert from the upstream: certificate required"),
        ),
        (
            ssl_error("DECRYPTION_FAILED_OR_BAD_RECORD_MAC"),
            Failure(FailureReason.TLS, "TLS: decryption failed or bad record mac"),
        ),
        (
            ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
            Failure(FailureReason.RESET, "the connection ended without a TLS close_notify"),
        ),
    ],
)
def test_c9_a_read_that_fails_is_tls_or_reset(error: OSError, failure: Failure) -> None:
    assert read_failure(error) == failure


def test_an_absolute_name_is_verified_without_its_dot() -> None:
    assert (server_name("example.org."), server_name("example.org")) == (b"example.org", b"example.org")


# -- what an upstream's rule says of TLS (U05)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, a client certificate and its key, in one file and in two, and what is none."""
    folder = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name in ("client", "other"):
        issued = ca.issue_cert(f"{name}.example")
        issued.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
        issued.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        issued.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}-both.pem"))
    key = load_pem_private_key((folder / "client.key").read_bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (folder / "encrypted.key").write_bytes(encrypted)
    os.mkfifo(folder / "pipe")
    (folder / "empty.pem").write_bytes(b"")
    (folder / "text.pem").write_text("hello\n")
    return folder


def rule_of(files: Path, names: dict[str, str]) -> TlsRule:
    return convert({name: str(files / file) for name, file in names.items()}, TlsRule)


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"ca_file": "ca.pem"},
        {"cert_file": "client.pem", "key_file": "client.key"},
        {"cert_file": "client-both.pem"},
    ],
)
def test_u05_files_that_can_be_used(files: Path, names: dict[str, str]) -> None:
    check_tls(rule_of(files, names), "upstreams.a.tls")


@pytest.mark.parametrize(
    ("names", "key", "problem"),
    [
        ({"ca_file": "none.pem"}, "ca_file", "No such file or directory"),
        ({"ca_file": "."}, "ca_file", "not a regular file"),
        ({"key_file": "pipe", "cert_file": "client.pem"}, "key_file", "not a regular file"),
        ({"ca_file": "empty.pem"}, "ca_file", "no certificate or crl found"),
        ({"ca_file": "text.pem"}, "ca_file", "no certificate or crl found"),
        ({"ca_file": "client.key"}, "ca_file", "no certificate or crl found"),
        ({"cert_file": "none.pem"}, "cert_file", "No such file or directory"),
        ({"cert_file": "client.pem", "key_file": "none.key"}, "key_file", "No such file or directory"),
        ({"cert_file": "client.pem"}, "cert_file", "which is not encrypted"),
        ({"cert_file": "text.pem", "key_file": "client.key"}, "cert_file", "which is not encrypted"),
        ({"cert_file": "client.pem", "key_file": "other.key"}, "cert_file", "key values mismatch"),
        ({"cert_file": "client.pem", "key_file": "encrypted.key"}, "cert_file", "which is not encrypted"),
        ({"key_file": "client.key"}, "key_file", "together with cert_file"),
    ],
)
def test_u05_files_that_cannot_be_used_are_named(
    files: Path, names: dict[str, str], key: str, problem: str
) -> None:
    rule = rule_of(files, names)
    with pytest.raises(InvalidSetting) as raised:
        check_tls(rule, "hedgerow.toml: upstreams.a.tls")
    text = str(raised.value)
    assert text.startswith(f"hedgerow.toml: upstreams.a.tls.{key}: ")
    assert Path(names[key]).name in text
    assert problem in text
    assert "\n" not in text
    assert "_ssl.c" not in text


def test_u05_a_context_trusts_the_given_authorities_alone(files: Path) -> None:
    context = client_context(TlsRule(ca_file=str(files / "ca.pem"), min_version="1.3"))
    assert len(context.get_ca_certs()) == 1
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
