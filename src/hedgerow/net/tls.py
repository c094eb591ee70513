"""TLS towards upstreams: what is trusted, who we are, and what a failure is in words."""

import os
import re
import socket
import ssl
from collections.abc import Callable
from typing import Final

from hedgerow.core.outcomes import Failure, FailureReason
from hedgerow.eventloop.poller import READABLE, WRITABLE
from hedgerow.settings import InvalidSetting
from hedgerow.settings.routes import TlsRule

_ALERT: Final = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_ALERT_(\w+)")
"""OpenSSL's reason for an alert that the peer has sent; the prefix is the version that introduced the alert."""

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def client_context(rule: TlsRule) -> ssl.SSLContext:
    """Return the context of all connections to an upstream: HTTP/1.1, certificate and name verified.

    Without `ca_file` the trust store is the system's, or that of `SSL_CERT_FILE` and `SSL_CERT_DIR`, which OpenSSL
    reads itself. Raises InvalidSetting where a file cannot be used: `configuration` has checked each by itself, but it
    may have been replaced since.
    """
    try:
        context = ssl.create_default_context(cafile=rule.ca_file)
        if (
            rule.cert_file is not None
        ):  # without a password OpenSSL would ask for it on the terminal, and wait
            context.load_cert_chain(rule.cert_file, rule.key_file, password=lambda: "")
    except OSError as error:
        files = ", ".join(path for path in (rule.ca_file, rule.cert_file, rule.key_file) if path is not None)
        raise InvalidSetting("tls", files, f"PEM files that can be used ({error_text(error)})") from None
    context.minimum_version = _VERSIONS[rule.min_version]
    context.set_alpn_protocols(["http/1.1"])
    return context


def server_name(host: str) -> bytes:
    """Return the name to verify, and to send as SNI: without the dot of an absolute name (RFC 6066 section 3)."""
    return host.rstrip(".").encode("ascii")


def start_tls(
    context: ssl.SSLContext, sock: socket.socket, name: bytes, session: ssl.SSLSession | None
) -> ssl.SSLSocket:
    """Return a TLS socket that takes the place of `sock`, which is connected; the handshake is still to be made.

    The server may resume `session`, or may not: then the handshake is a full one, and verifies the certificate.

    A stream that ends without close_notify raises SSLEOFError, so that a cut answer never looks like a whole one.
    """
    return context.wrap_socket(
        sock,
        do_handshake_on_connect=False,
        suppress_ragged_eofs=False,
        server_hostname=name,
        session=session,
    )


def continue_handshake(sock: ssl.SSLSocket) -> int:
    """Continue a handshake. Return what it waits for, `READABLE` or `WRITABLE`, or 0 when it is done.

    Raises OSError, of which ssl.SSLError is one, when it has failed.
    """
    try:
        sock.do_handshake()
    except ssl.SSLWantReadError:
        return READABLE
    except ssl.SSLWantWriteError:
        return WRITABLE
    return 0


def read_and_write(
    sock: ssl.SSLSocket,
) -> tuple[Callable[[int], bytes], Callable[[bytes | memoryview], int]]:
    """Return what reads and what sends, with the exceptions of `SSLSocket.recv` and `send`. Not after `close`.

    They are those of the private C object that each SSLSocket has, the same from Python 3.6 to 3.14. Its own `recv` and
    `send` are written in Python: 6 % of the instructions of a request over TLS. Where it has no such object, these are
    returned.
    """
    tls = getattr(sock, "_sslobj", None)
    return (sock.read, sock.send) if tls is None else (tls.read, tls.write)


def read_failure(error: OSError) -> Failure:
    """Return what an exception of `Stream.read` means for the attempt.

    In TLS 1.3 the server judges the client's certificate after the client's handshake is over: its alert comes with
    the first read (RFC 8446 section 4.4.2.4).
    """
    if isinstance(error, ssl.SSLEOFError):
        return Failure(FailureReason.RESET, "the connection ended without a TLS close_notify")
    if isinstance(error, ssl.SSLError):
        return Failure(FailureReason.TLS, error_text(error))
    return Failure(FailureReason.RESET, error_text(error))


def error_text(error: OSError) -> str:
    """Return the reason of a failure in words, without numbers and OpenSSL's source lines."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "the upstream closed the connection during the TLS handshake"
    if isinstance(error, ssl.SSLError):
        return _reason_text(error)
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if error.errno is not None:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _reason_text(error: ssl.SSLError) -> str:
    reason = getattr(error, "reason", None)
    if not reason:
        return str(error)
    alert = _ALERT.fullmatch(reason)
    if alert is not None:
        return f"TLS alert from the upstream: {_words(alert[1])}"
    return f"TLS: {_words(reason)}"


def _words(name: str) -> str:
    return name.lower().replace("_", " ")
