import pytest

from hedgerow.settings.hosts import is_host, is_ipv6


@pytest.mark.parametrize(
    "host", ["a", "a.b", "a.b.", "localhost", "1a", "a1.2b", "a_b", "xn--a", "127.0.0.1", "0.0.0.0"]
)
def test_names_and_addresses_are_hosts(host: str) -> None:
    assert is_host(host)
    assert not is_ipv6(host)


@pytest.mark.parametrize(
    "host",
    [
        "", ".", "..", "a..b", ".a", "-a", "a-", "a b", "a\0", "a/b", "a:1", "é", "\udcff", "1", "127.1", "0x7f.1",
        "1.2.3.4.5", "1.2.3.256", "١٢٧.0.0.1", "a" * 64, "a." * 127, "::1", "[::1]", "fe80::1%eth0", "\n", "a\n",
    ],
)  # fmt: skip
def test_anything_else_is_no_host(host: str) -> None:
    assert not is_host(host)


@pytest.mark.parametrize(
    ("host", "is_one"),
    [("::", True), ("::1", True), ("fe80::1%eth0", True), ("[::1]", False), (":::", False), ("::1\n", False),
     ("1", False)],
)  # fmt: skip
def test_ipv6_addresses_have_no_brackets_and_may_have_a_zone(host: str, is_one: bool) -> None:
    assert is_ipv6(host) is is_one
