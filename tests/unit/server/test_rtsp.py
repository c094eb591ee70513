"""RTSP in what a client sends, wherever it is cut; `test_request_parser.py` has it before llhttp."""

import pytest

from hedgerow.server.rtsp import RtspDetector

LINE = b"DESCRIBE  rtsp://x/y  RTSP/1.0\r\n"


@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_it_is_found_where_it_begins(before: bytes) -> None:
    assert RtspDetector().find(before + LINE) == len(before)


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"GET /?a= RTSP/ HTTP/1.1\r\n"[:8], b"X: RTSP/1.0\r\n", b""]
)
def test_nothing_is_found_in_http(data: bytes) -> None:
    assert RtspDetector().find(data) == -1


@pytest.mark.parametrize("cut_at", range(1, LINE.index(b"RTSP/") + 5))
def test_it_is_found_when_its_line_is_cut(cut_at: int) -> None:
    detector = RtspDetector()
    assert detector.find(LINE[:cut_at]) == -1
    detector.parsed(LINE[:cut_at], partial=True, in_headers=False)
    assert detector.find(LINE[cut_at:]) == 0


def test_no_request_begins_within_a_header_section() -> None:
    detector = RtspDetector()
    detector.parsed(b"GET / HTTP/1.1\r\nHost: x\r\nX: ", partial=True, in_headers=True)
    assert detector.find(LINE) == -1


def test_one_line_is_kept_and_nothing_of_whole_requests() -> None:
    detector = RtspDetector()
    detector.parsed(b"GET / HTTP/1.1\r\nHos", partial=True, in_headers=False)
    assert detector.line == b"Hos"
    detector.parsed(b"t: x\r\n\r\n", partial=False, in_headers=True)
    assert detector.line == b""
