from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from hedgerow.configuration.file import Place
from hedgerow.configuration.tls_files import check_tls
from hedgerow.settings.errors import InvalidSetting
from hedgerow.settings.routes import TlsRule

PLACE = Place("h.toml", dict, ("upstreams", "u", "tls"))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    authority, other = trustme.CA(), trustme.CA()
    cert, other_cert = authority.issue_cert("client"), other.issue_cert("client")
    paths = {
        name: str(tmp_path / name)
        for name in ("ca", "all", "cert", "key", "other", "text", "none", "folder", "locked")
    }
    authority.cert_pem.write_to_path(paths["ca"])
    cert.private_key_and_cert_chain_pem.write_to_path(paths["all"])
    cert.cert_chain_pems[0].write_to_path(paths["cert"])
    cert.private_key_pem.write_to_path(paths["key"])
    other_cert.private_key_pem.write_to_path(paths["other"])
    Path(paths["text"]).write_text("secret that is no PEM")
    Path(paths["folder"]).mkdir()
    key = serialization.load_pem_private_key(cert.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    Path(paths["locked"]).write_bytes(locked)
    return paths


@pytest.mark.parametrize(
    ("ca", "cert", "key"),
    [
        (None, None, None),
        ("ca", None, None),
        (None, "all", None),
        ("ca", "cert", "key"),
        ("ca", "all", "all"),
    ],
)
def test_files_that_can_be_used_are_accepted(
    files: dict[str, str], ca: str | None, cert: str | None, key: str | None
) -> None:
    check_tls(
        TlsRule(
            ca_file=files[ca] if ca else None,
            cert_file=files[cert] if cert else None,
            key_file=files[key] if key else None,
        ),
        PLACE,
    )


@pytest.mark.parametrize(
    ("name", "ca", "cert", "key", "why"),
    [
        ("ca_file", "none", None, None, "a file that can be read (No such file"),
        ("ca_file", "folder", None, None, "a regular file"),
        ("ca_file", "text", None, None, "a file of certificates in PEM"),
        ("cert_file", "ca", "none", "key", "a file that can be read (No such file"),
        ("key_file", "ca", "cert", "none", "a file that can be read (No such file"),
        ("cert_file", "ca", "cert", None, "or `key_file` beside it"),
        ("cert_file", "ca", "text", None, "a certificate and its key"),
        ("key_file", "ca", "cert", "other", "(key values mismatch)"),
        ("key_file", "ca", "cert", "text", "the key of"),
        ("key_file", "ca", "cert", "locked", "not encrypted (the key is encrypted)"),
    ],
)
def test_a_file_that_cannot_be_used_is_rejected_by_its_key(
    files: dict[str, str], name: str, ca: str | None, cert: str | None, key: str | None, why: str
) -> None:
    rule = TlsRule(
        ca_file=files[ca] if ca else None,
        cert_file=files[cert] if cert else None,
        key_file=files[key] if key else None,
    )
    with pytest.raises(InvalidSetting) as caught:
        check_tls(rule, PLACE)
    message = str(caught.value)
    assert message.startswith(f"'h.toml': upstreams.u.tls.{name}: '{getattr(rule, name)}' is not accepted")
    assert why in message
    assert "secret" not in message
    assert len(message.splitlines()) == 1
