"""The files of the page, as the admin port serves them."""

import re

import pytest

from hedgerow.status.page import pages


@pytest.mark.parametrize("path", pages())
def test_each_file_has_its_type_and_may_load_nothing_from_elsewhere(path: bytes) -> None:
    response = pages()[path]
    assert response.status == 200
    assert response.body
    assert response.content_type.endswith((b"charset=utf-8", b"image/svg+xml"))
    assert b"Content-Security-Policy: default-src 'none'" in response.headers
    assert b"X-Content-Type-Options: nosniff" in response.headers


def test_what_the_page_refers_to_is_served() -> None:
    names = re.findall(rb'(?:href|src)="([^":#]+)"', pages()[b"/status"].body)
    assert names
    for name in names:
        path = name if name.startswith(b"/") else b"/" + name
        assert path in pages() or path in (
            b"/status.json",
            b"/metrics",
            b"/openapi.json",
            b"/readyz",
            b"/livez",
        ), name
