"""Files of certificates and keys that an upstream's `tls` names: read and parsed before anything is started."""

import ssl
from collections.abc import Callable

from hedgerow.configuration.file import Place
from hedgerow.configuration.startup_checks import file_problem
from hedgerow.settings.routes import TlsRule


def check_tls(rule: TlsRule, place: Place) -> None:
    """Raise InvalidSetting for a file that cannot be used. Names of files are shown, what they hold is not."""
    for name in ("ca_file", "cert_file", "key_file"):
        path: str | None = getattr(rule, name)
        accepted = file_problem(path) if path is not None else ""
        if accepted:
            raise place.at(name).reject(path, accepted)
    if rule.ca_file is None and rule.cert_file is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca_file, cert_file, key_file = rule.ca_file, rule.cert_file, rule.key_file
    if ca_file is not None:
        problem = _problem(lambda: context.load_verify_locations(cafile=ca_file))
        if problem:
            raise place.at("ca_file").reject(ca_file, "a file of certificates in PEM", problem)
    if cert_file is not None:
        problem = _problem(lambda: context.load_cert_chain(cert_file, key_file, password=_no_password))
        if problem:
            accepted = "a file in PEM with a certificate and its key, which is not encrypted"
            if key_file is None:
                raise place.at("cert_file").reject(cert_file, f"{accepted}, or `key_file` beside it", problem)
            accepted = f"the key of {cert_file!r}, both in PEM and not encrypted"
            raise place.at("key_file").reject(key_file, accepted, problem)


def _problem(load: Callable[[], None]) -> str:
    """Return why OpenSSL does not take a file, or nothing if it does."""
    try:
        load()
    except ssl.SSLError as error:
        return (error.reason or str(error)).lower().replace("_", " ")
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def _no_password() -> str:
    """Return no password for an encrypted key: without this OpenSSL would ask at the terminal."""
    raise ValueError("the key is encrypted")
