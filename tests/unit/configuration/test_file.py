import os
from pathlib import Path

import pytest

from hedgerow.configuration.file import MAX_FILE_BYTES, Given, read_document, read_settings
from hedgerow.settings.errors import SettingsError

KNOWN = {"port": "port", "hedge-after-ms": "hedge_after_ms", "upstream": "upstream"}


def read(path: Path | str, *, ignores_unknown: bool = False) -> dict[str, Given]:
    document = read_document(str(path), "HEDGEROW_CONFIG")
    return read_settings(document, KNOWN, ("routes", "upstreams"), ignores_unknown=ignores_unknown)


def write(folder: Path, content: bytes | str) -> Path:
    file = folder / "h.toml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_values_come_with_file_line_and_key(tmp_path: Path) -> None:
    file = write(tmp_path, '# port = 3\n\n"port" = 1\r\n  hedge_after_ms = 2.5\n')
    assert read(file) == {
        "port": Given(1, f"'{file}', line 3: port"),
        "hedge_after_ms": Given(2.5, f"'{file}', line 4: hedge_after_ms"),
    }


@pytest.mark.parametrize("content", ["", "# nothing\n", "\ufeff"])
def test_a_file_without_settings_sets_none(tmp_path: Path, content: str) -> None:
    assert read(write(tmp_path, content)) == {}


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    assert read(write(tmp_path, "\ufeffport = 1\n"))["port"].value == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("port = ", "end of document"), ("port = 1\nport = 2\n", "line 2"), ('port = 1\n"port" = 2\n', "line 2"),
        ("[port]\nx = 1\n[port]\n", "line 3"), ("\x00", "line 1"), ("port = 010\n", "line 1"),
        ("port = '\n'", "line 1"),
        ("port = \u0661\n", "line 1"), ("port = " + "9" * 5_000, "has more than 4300 digits"),
        ("port = " + "[" * 50_000, "nested"),
        (b"\xff\xfep\0o\0", "UTF-8 (byte 0"), (b"port = 1 # \xe9", "UTF-8 (byte 11"),
        ("#" * (MAX_FILE_BYTES + 1), f"at most {MAX_FILE_BYTES} bytes"),
    ],
)  # fmt: skip
def test_what_is_no_toml_is_rejected_with_its_place(tmp_path: Path, content: bytes | str, why: str) -> None:
    file = write(tmp_path, content)
    with pytest.raises(SettingsError) as caught:
        read(file)
    message = str(caught.value)
    assert message.startswith(f"HEDGEROW_CONFIG: '{file}' is not accepted; give a TOML file")
    assert why in message
    assert len(message.splitlines()) == 1


def test_a_file_of_the_greatest_length_is_read(tmp_path: Path) -> None:
    assert read(write(tmp_path, "port = 1\n".ljust(MAX_FILE_BYTES, "#")))["port"].value == 1


def test_what_cannot_be_read_is_rejected_at_once(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    unreadable: list[tuple[Path | str, str]] = [
        (tmp_path, "a directory"), (fifo, "no regular file"), ("/dev/null", "no regular file"), ("", "No such file"),
        (tmp_path / "none", "No such file"), (loop, "symbolic links"), ("a\0b", "null"), (f"{tmp_path}/x/y", "No such"),
        ("/proc/self/mem", "Input/output error"), ("x" * 5_000, "name too long"),
    ]  # fmt: skip
    for path, why in unreadable:
        with pytest.raises(
            SettingsError, match=r"^HEDGEROW_CONFIG: .* is not accepted; give a TOML file"
        ) as caught:
            read(path)
        assert why in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "key", "hint"),
    [
        ("\nhedge-aftre-ms = 3", "line 2: 'hedge-aftre-ms'", "did you mean hedge-after-ms?"),
        ("hedge_aftre_ms = 3", "line 1: 'hedge_aftre_ms'", "did you mean hedge-after-ms?"),
        ("Port = 1", "line 1: 'Port'", "did you mean port?"),
        ("[server]\nport = 1", "line 1: 'server'", "lists all"),
        ("server.port = 1", "line 1: 'server'", "lists all"),
        ("config = 'x'", "line 1: 'config'", "lists all"),
        ('"a\\nb" = 1', "'a\\nb'", "lists all"),
    ],
)
def test_an_unknown_key_is_rejected_with_the_nearest_one(
    tmp_path: Path, content: str, key: str, hint: str
) -> None:
    file = write(tmp_path, content)
    with pytest.raises(SettingsError) as caught:
        read(file)
    assert str(caught.value).startswith(f"'{file}'")
    assert key in str(caught.value)
    assert str(caught.value).endswith(hint)
    assert read(file, ignores_unknown=True) == {}


@pytest.mark.parametrize("ignores_unknown", [True, False])
@pytest.mark.parametrize("second", ["hedge_after_ms", "hedge-after_ms"])
def test_two_spellings_of_one_key_are_rejected(tmp_path: Path, second: str, ignores_unknown: bool) -> None:
    file = write(tmp_path, f"hedge-after-ms = 1\n{second} = 1\n")
    with pytest.raises(SettingsError, match=f"line 2: '{second}' is not accepted; .* line 1: hedge-after-ms"):
        read(file, ignores_unknown=ignores_unknown)


def test_the_line_of_a_key_is_found_in_time_in_proportion_to_the_length(tmp_path: Path) -> None:
    blanks = " " * (MAX_FILE_BYTES - 20)
    assert read(write(tmp_path, f"{blanks}\nport = 1"))["port"].source.endswith(", line 2: port")
