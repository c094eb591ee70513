import errno
import socket
import ssl

import pytest

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.net.tls import client_context, error_text, read_failure, server_name
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
