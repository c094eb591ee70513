import errno
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
from hedgerow.net.tls import client_context, error_text, read_failure, server_name
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


# -- what an upstream's rule says of TLS (U05); each file by itself: tests/unit/configuration/test_tls_files.py


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, certificates with their keys, in one file and in two, and what is none."""
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
    assert client_context(rule_of(files, names)).verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ({"ca_file": "none.pem"}, "No such file or directory"),
        ({"ca_file": "client.key"}, "no certificate or crl found"),
        ({"cert_file": "client.pem", "key_file": "none.key"}, "No such file or directory"),
        ({"cert_file": "client.pem", "key_file": "other.key"}, "key values mismatch"),
        ({"cert_file": "client.pem", "key_file": "encrypted.key"}, "PEM files that can be used"),
    ],
)
def test_u05_files_that_were_replaced_since_they_were_checked(
    files: Path, names: dict[str, str], problem: str
) -> None:
    with pytest.raises(InvalidSetting) as raised:
        client_context(rule_of(files, names))
    text = str(raised.value)
    assert all(name in text for name in names.values())
    assert problem in text
    assert "\n" not in text


def test_u05_a_context_trusts_the_given_authorities_alone(files: Path) -> None:
    context = client_context(TlsRule(ca_file=str(files / "ca.pem"), min_version="1.3"))
    assert len(context.get_ca_certs()) == 1
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
