"""What is looked at before anything is started: files and hosts that settings and variables name."""

import os
import socket
import ssl
import stat
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from hedgerow.settings import EMBEDDED, InvalidSetting, Settings, Target, parse_target
from hedgerow.settings.errors import quoted
from hedgerow.settings.upstream_url import EMBEDDED_TARGET

_EXPORTER_FILES: Final = tuple(
    f"OTEL_EXPORTER_OTLP_{signal}{kind}"
    for signal in ("", "TRACES_")
    for kind in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
)
"""https://opentelemetry.io/docs/specs/otel/protocol/exporter/#configuration-options"""

_ANY: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 (nothing binds here)
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})


class Addresses(NamedTuple):
    """Where the two ports are."""

    main: str
    admin: str


def look_up_hosts(settings: Settings, source_of: Callable[[str], str]) -> Addresses:
    """Return the addresses of `--host` and `--admin-host`; raises InvalidSetting.

    `source_of` returns how messages name a setting. Blocks for as long as the lookups take, where hosts are names.
    """
    return Addresses(
        _look_up(settings.host, source_of("host")), _look_up(settings.admin_host, source_of("admin_host"))
    )


def check_addresses(settings: Settings, source_of: Callable[[str], str], addresses: Addresses) -> None:
    """Raise InvalidSetting for ports that are in each other's way, and for upstreams that are the gateway itself."""
    main, admin = addresses
    if settings.port == settings.admin_port != 0 and (main == admin or _ANY & {main, admin}):
        accepted = f"another port than {settings.port}, by {source_of('port')}"
        raise InvalidSetting(source_of("admin_port"), settings.admin_port, accepted)
    for source, target in _targets(settings):
        for address, name in ((main, "port"), (admin, "admin_port")):
            own = {address} if address not in _ANY else _LOOPBACK
            own = own | ({"localhost"} if own & _LOOPBACK else set())
            if target.port == getattr(settings, name) != 0 and target.host in own:
                accepted = f"another server: {source_of(name)} makes this address the gateway's own"
                raise InvalidSetting(source_of(source), target.redacted_url, accepted)


def is_tls(settings: Settings) -> bool:
    """Return whether an upstream is spoken to over TLS."""
    return any(target.tls for _, target in _targets(settings))


def _targets(settings: Settings) -> list[tuple[str, Target]]:
    """Return the endpoints that are URLs, each with the name of its source."""
    if settings.routes:
        return [
            (f"upstreams.{rule.name}", endpoint)
            for rule in settings.upstreams
            for endpoint in rule.endpoints
            if endpoint != EMBEDDED_TARGET
        ]
    return [] if settings.upstream == EMBEDDED else [("upstream", parse_target(settings.upstream))]


def _look_up(host: str, source: str) -> str:
    try:
        found = socket.getaddrinfo(host.encode("ascii"), 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise InvalidSetting(
            source, host, f"an address of this machine, or its name ({error.strerror})"
        ) from None
    return str(found[0][4][0])


def check_named_files(environment: Mapping[str, str], *, is_tls: bool, is_traced: bool) -> None:
    """Raise InvalidSetting for a variable of OpenSSL's, or of the exporter's, that names what cannot be used.

    OpenSSL itself passes over what it cannot read: then no certificate is trusted, and each TLS handshake fails.
    Certificates are parsed where the upstream needs them (`is_tls`); it takes 20 ms for all that the web uses.
    """
    checks: dict[str, Callable[[str], str]] = {
        "SSL_CERT_FILE": _certificates_problem if is_tls else file_problem,
        "SSL_CERT_DIR": _directories_problem,
        "SSLKEYLOGFILE": _append_problem,
    }
    if is_traced:
        checks |= dict.fromkeys(_EXPORTER_FILES, file_problem)
    for variable, problem_of in checks.items():
        path = environment.get(variable)
        problem = problem_of(path) if path is not None else ""
        if problem:
            raise InvalidSetting(variable, path, f"{problem}, or unset it")


def check_tracing(share: float, source: str) -> None:
    """Raise InvalidSetting if a worker could not record traces."""
    try:
        # It takes 0.15 s, and may not be there; and the SDK looks at some of its variables when it is loaded.
        from hedgerow.tracing.request_spans import check  # noqa: PLC0415

        check()
    except ImportError as error:
        accepted = f"0, or install what traces need: pip install 'hedgerow[otel]' ({error})"
        raise InvalidSetting(source, share, accepted) from None
    except ValueError as error:
        raise InvalidSetting(source, share, f"OTEL_* variables that can be used ({error})") from None


def _certificates_problem(path: str) -> str:
    problem = file_problem(path)
    if not problem:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
        except ssl.SSLError:
            return "a file of certificates in PEM"
    return problem


def file_problem(path: str) -> str:
    """Return what is accepted in place of a file that cannot be read, or nothing if it can."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 (a path of any text)
            return "a regular file"
        with open(path, "rb"):  # noqa: PTH123
            return ""
    except (OSError, ValueError) as error:
        return f"a file that can be read ({_reason(error)})"


def _directories_problem(paths: str) -> str:
    for path in paths.split(":"):
        try:
            with os.scandir(path or "\0"):
                pass
        except (OSError, ValueError) as error:
            return f"directories that can be read, with ':' between them ({quoted(path)}: {_reason(error)})"
    return ""


def _append_problem(path: str) -> str:
    """Return what is accepted in place of a file that cannot be written to; Python's `ssl` fails on one.

    It is not created here: a check leaves nothing behind.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            return "a regular file"
        is_writable = os.access(path, os.W_OK)
    except FileNotFoundError:
        folder, name = os.path.split(path)
        is_writable = bool(name) and os.access(folder or ".", os.W_OK | os.X_OK)
    except (OSError, ValueError) as error:
        return f"a file that can be written to ({_reason(error)})"
    return "" if is_writable else "a file that can be written to"


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "it is no path"
