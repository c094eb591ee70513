"""C19's parts: what is read out of others' tests, the readings of the RFCs, and the judges, which can fail."""

import re
from pathlib import Path

import pytest

from docs.markdown import ROOT, table
from hedgerow.core.answer_rules import AnswerRules
from hedgerow.core.header_fields import HeaderSection
from hedgerow.core.outcomes import Success
from verification.harness import corpus_requests, corpus_responses, corpus_rules, rfc_requests, rfc_responses
from verification.harness.campaign import Findings
from verification.harness.corpora import altered
from verification.harness.corpus_client import Got
from verification.harness.corpus_formats import Sample, samples
from verification.harness.corpus_json import due, judge
from verification.harness.corpus_proxied import body_case
from verification.harness.json_cases import own_cases, parsed
from verification.harness.request_cases import requests
from verification.harness.response_cases import responses
from verification.harness.rfc_wire import Verdict

HOST = b"Host: example.com\r\n"
GET = b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /a HTTP/1.1\r\n" + HOST
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

# -- what is read


LLHTTP = b"""<!-- meta={"type": "request", "noScan": true} -->
```http
GET / HTTP/1.1
A: \\rb\\
c


```

<!-- meta={"type": "url"} -->
```http
GET / HTTP/1.1
```
"""
HTTP_PARSER = b"""{ {.name= "x"
  ,.type= HTTP_RESPONSE
  ,.raw= "HTTP/1.1 200 OK\\r\\n" /* y */
         "A: \\"\\r\\n\\r\\n"
  ,.x= 1 }"""
PYTHON = b"""
a = b'GET / HTTP/1.1\\r\\n\\r\\n'
b = [b'HTTP/1.1 200 OK\\r\\n', b'\\r\\n']
c = b'\\r\\n'.join([b'PUT / HTTP/1.0', b'', b''])
d = 'GET / HTTP/1.1'
e = b'other'
f = [b'GET / HTTP/1.1\\n', g()]
"""


@pytest.mark.parametrize(
    ("name", "content", "wires"),
    [
        ("a/tests/x.http", b"GET / HTTP/1.1\\r\\n\n\\x41\\t: b\\r\\n\n\\r\\n\n", [b"GET / HTTP/1.1\r\nA\t: b\r\n\r\n"]),
        ("a/test/x.md", LLHTTP, [b"GET / HTTP/1.1\r\nA: \rbc\r\n\r\n"]),
        ("http-parser/test.c", HTTP_PARSER, [b'HTTP/1.1 200 OK\r\nA: "\r\n\r\n']),
        (
            "a/tests/x.py",
            PYTHON,
            [
                b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n",
                b"PUT / HTTP/1.0\r\n\r\n",
            ],
        ),
        ("a/tests/x.txt", b"GET / HTTP/1.1\r\n\r\n", []),
    ],
)  # fmt: skip
def test_messages_are_read_out_of_each_format(name: str, content: bytes, wires: list[bytes]) -> None:
    assert sorted(sample.wire for sample in samples(name, content)) == sorted(wires)


def test_a_message_is_altered_where_it_would_test_nothing_else() -> None:
    def wires(wire: bytes) -> list[bytes]:
        return [each.wire for each in altered(Sample("x", wire))]

    assert wires(GET) == []
    assert wires(b"GET / HTTP/1.1\r\nA: b\r\n\r\n") == [b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n\r\n"]
    assert wires(b"GET / HTTP/1.0\n\n") == [b"GET / HTTP/1.0\r\n\r\n"]
    assert wires(OK) == [OK + b"\r\n"]


# -- the readings of the RFCs


@pytest.mark.parametrize(
    ("wire", "wanted"),
    [
        (GET, [("valid", "", b"")]),
        (GET + GET[:20], [("valid", "", b""), ("incomplete", "9112 3: a line without its end", b"")]),
        (POST + b"Content-Length: 2\r\n\r\nab" + GET, [("valid", "", b"ab"), ("valid", "", b"")]),
        (POST + CHUNKED + b"2;a=b\r\nab\r\n0\r\nX: y\r\n\r\n" + GET, [("valid", "", b"ab"), ("valid", "", b"")]),
        (POST + b"Connection: close\r\nContent-Length: 0\r\n\r\n" + GET, [("valid", "", b"")]),
        (POST + CHUNKED + b"2; a\r\nab\r\n0\r\n\r\n", [("may be rejected", "9112 7.1.1: blanks in", b"ab")]),
        (POST + CHUNKED + b"2\r\nabc\r\n0\r\n\r\n", [("must be rejected", "9112 7.1", b"")]),
        (POST + CHUNKED + b"2\r\nab\r\n", [("incomplete", "", b"")]),
        (POST + b"Content-Length: 2\r\n" + CHUNKED + b"0\r\n\r\n", [("may be rejected", "9112 6.3: a length", b"")]),
        (POST + b"Content-Length: +2\r\n\r\nab", [("must be rejected", "9112 6.3: an invalid length", b"")]),
        (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n", [("must be rejected", "9112 6.3: chunked is not", b"")]),
        (b"GET /a HTTP/1.1\r\n\r\n", [("must be rejected", "9112 3.2: no Host", b"")]),
        (b"GET /a HTTP/1.0\r\n\r\n" + GET, [("valid", "", b"")]),
        (b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", [("must be rejected", "9112 3.2: a fragment", b"")]),
        (b"GET /a HTTP/2.0\r\n\r\n", [("must be rejected", "9110 2.5", b"")]),
        (GET[:-2] + b"X: a\r\n b\r\n\r\n", [("may be rejected", "9112 5.2", b"")]),
        (GET[:-2] + b"X : a\r\n\r\n", [("must be rejected", "9112 5.1", b"")]),
        (GET.replace(b"\r\n", b"\n"), [("may be rejected", "9112 2.2: a line that ends", b"")]),
        (GET + b"\r\n", [("valid", "", b"")]),
    ],
)  # fmt: skip
def test_the_reading_of_requests(wire: bytes, wanted: list[tuple[str, str, bytes]]) -> None:
    found = list(rfc_requests.read(wire))
    assert [(each.verdict.value, each.body) for each in found] == [
        (verdict, body) for verdict, _, body in wanted
    ]
    for each, (_, rule, _) in zip(found, wanted, strict=True):
        assert each.rule.startswith(rule)
        assert bool(each.rule) == bool(rule)


@pytest.mark.parametrize(
    ("wire", "is_closed", "is_head", "wanted"),
    [
        (OK + b"Content-Length: 2\r\n\r\nab", False, False, ("valid", 200, b"ab", True)),
        (OK + b"Content-Length: 2\r\n\r\nabx", False, False, ("valid", 200, b"ab", False)),
        (OK + b"Content-Length: 2\r\n\r\na", True, False, ("incomplete", 0, b"", False)),
        (OK + b"Content-Length: 2\r\n\r\n", False, True, ("valid", 200, b"", True)),
        (OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n", False, False, ("valid", 200, b"", False)),
        (OK + CHUNKED + b"2\r\nab\r\n0\r\n\r\n", False, False, ("valid", 200, b"ab", True)),
        (OK + CHUNKED + b"2\r\nab\r\n", True, False, ("incomplete", 0, b"", False)),
        (OK + b"\r\nab", True, False, ("valid", 200, b"ab", False)),
        (OK + b"\r\nab", False, False, ("incomplete", 0, b"", False)),
        (b"HTTP/1.1 103 X\r\n\r\nHTTP/1.1 204 X\r\n\r\n", False, False, ("valid", 204, b"", True)),
        (b"HTTP/1.1 101 X\r\n\r\n", False, False, ("must be rejected", 0, b"", False)),
        (b"HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n", False, False, ("valid", 304, b"", True)),
        (OK + b"X : y\r\n\r\n", True, False, ("may be rejected", 200, b"", False)),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", True, False, ("must be rejected", 0, b"", False)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False, False, ("valid", 200, b"", False)),
        (b"RTSP/1.0 200 OK\r\n\r\n", True, False, ("must be rejected", 0, b"", False)),
    ],
)  # fmt: skip
def test_the_reading_of_responses(
    wire: bytes, is_closed: bool, is_head: bool, wanted: tuple[str, int, bytes, bool]
) -> None:
    found = rfc_responses.read(wire, is_closed=is_closed, is_head=is_head)
    assert (found.verdict.value, found.status, found.body, found.is_reusable) == wanted


def test_own_cases_are_many_and_of_every_verdict() -> None:
    verdicts = {next(rfc_requests.read(each.wire)).verdict for each in requests()}
    assert verdicts == set(Verdict)
    assert {rfc_responses.read(each.wire, is_closed=True).verdict for each in responses()} == set(Verdict)
    assert len(requests()) > 250
    assert len(responses()) > 300


# -- the judges


def judged_request(
    wire: bytes, statuses: list[int], *passed: corpus_requests.Passed, is_closed: bool = False
) -> set[str]:
    """Return the invariants that are broken on a route that passes on."""
    recorder, findings = corpus_requests.Recorder(), Findings()
    recorder.by_client["127.0.0.1"] = list(passed)
    judge_of_requests = corpus_requests.Judge(findings, recorder)
    judge_of_requests.judge(Sample("x", wire), "127.0.0.1", statuses, is_closed=is_closed)
    return set(findings.broken)


def test_the_judge_of_requests() -> None:
    passed = corpus_requests.Passed(b"GET", b"/a", [(b"x", b"y")], b"")
    wire, bad = GET[:-2] + b"X: y\r\nTE: trailers\r\n\r\n", GET[:-2] + b"X : y\r\n\r\n"
    assert judged_request(wire, [200], passed) == set()
    assert judged_request(wire, [400]) == {"each answer is that of the rule which the request falls under"}
    assert judged_request(wire, [200]) == {"the upstream gets what the RFC reads"}
    leaked = corpus_requests.Passed(b"GET", b"/a", [(b"x", b"y"), (b"te", b"trailers")], b"")
    assert judged_request(wire, [200], leaked) == {"the upstream gets what the RFC reads"}
    assert judged_request(wire, [200], passed, passed) == {"the upstream gets nothing else"}
    assert judged_request(bad, [400], is_closed=True) == set()
    assert judged_request(bad, [400]) == {"the connection of a rejected request is closed"}
    assert "the upstream gets what the RFC reads" in judged_request(bad, [200], passed)
    assert judged_request(bad + GET, [400, 200], is_closed=True) == {
        "nothing is answered behind a rejected request"
    }


def judged_response(wire: bytes, got: Got) -> set[str]:
    findings = Findings()
    corpus_responses.Judge(findings).judge(Sample("x", wire), corpus_responses.WAYS[0], got)
    return set(findings.broken)


def test_the_judge_of_responses() -> None:
    timing, close = (b"server-timing", b"total;dur=1"), (b"connection", b"close")
    whole, cut = (
        OK + b"X: y\r\nConnection: x-gone\r\nX-Gone: 1\r\nContent-Length: 2\r\n\r\nxy",
        OK + b"Content-Length: 2\r\n\r\nx",
    )
    length = (b"content-length", b"2")
    failure = Got(
        502, ((b"content-type", b"application/problem+json"),), b'{"attempts":[{"outcome":"reset"}]}'
    )
    assert judged_response(whole, Got(200, ((b"x", b"y"), length, timing, close), b"xy")) == set()
    assert judged_response(whole, failure) == {
        "a valid response passes",
        "what h11 reads and does not pass is by a rule of hedgerow's",
    }
    assert judged_response(whole, Got(200, (length, timing, close), b"xy")) == {
        "end-to-end headers pass as they are"
    }
    assert judged_response(whole, Got(200, ((b"x", b"y"), length, close), b"xy")) == {
        "the gateway's Server-Timing is there"
    }
    assert judged_response(whole, Got(200, ((b"x", b"y"), length, timing, close, close), b"xy")) == {
        "no header of the connection passes"
    }
    assert "status and body pass as they are" in judged_response(
        whole, Got(200, ((b"x", b"y"), length, timing, close), b"xx")
    )
    assert judged_response(cut, failure) == set()
    assert "what is no response does not pass" in judged_response(
        cut, Got(200, (length, timing, close), b"x")
    )
    assert "every request is answered" in judged_response(whole, Got())


def test_what_is_known_behind_a_proxy() -> None:
    case = body_case(
        Sample("x", GET + POST + b"Content-Length: 1\r\n\r\na" + b"GET //a HTTP/1.1\r\n" + HOST + b"\r\n")
    )
    assert [(sent.method, sent.body) for sent in case.sent] == [(b"GET", b""), (b"POST", b"a")]


# -- JSON


@pytest.mark.parametrize(("name", "text"), own_cases(), ids=lambda it: it if isinstance(it, str) else "")
def test_r04_a_text_is_json_where_rfc_8259_says_so(name: str, text: bytes) -> None:
    """In this process, and so without the compiled build that the campaign may run."""
    for rule in ("any", "object"):
        outcome = AnswerRules(((200, 299),), json=rule).classify(
            200, HeaderSection(b"\r\n"), text, is_head=False
        )
        assert ("" if isinstance(outcome, Success) else outcome.reason.value) == due(
            name, text, "alone", rule
        )
    if not name.startswith("i"):
        assert parsed(text)[0] is name.startswith("y")


def test_the_judge_of_json() -> None:
    findings = Findings()
    judge(("y", b"{}"), "alone", "any", Got(200, (), b"{}"), findings)
    assert findings.holds
    judge(("n", b"{"), "alone", "any", Got(200, (), b"{"), findings)
    judge(("y", b"{}"), "alone", "any", Got(200, (), b"[]"), findings)
    judge(("n", b"{}"), "alone", "any", Got(), findings)
    assert set(findings.broken) == {
        "a body is JSON where the RFC says so", "what passes passes as it is", "another parser reads the text alike",
    }  # fmt: skip


# -- the page


def test_each_rule_by_which_hedgerow_may_differ_is_on_the_page() -> None:
    """The rules of what may be rejected, and hedgerow's own."""
    sources = [
        Path(str(module.__file__)).read_text()
        for module in (corpus_rules, corpus_responses, rfc_requests, rfc_responses)
    ]
    sources.append((ROOT / "verification/harness/rfc_wire.py").read_text())
    text = "\n".join(sources)
    rules = set(re.findall(r'(?:lenient = |_COLON = )"(9[^"]+)"', text)) | set(
        re.findall(r'"(ours: [^"]+)"', text)
    )
    assert len(rules) > 25
    page = ROOT / "docs/verification/differences.md"
    named = {row[0] for number in range(2) for row in table(page, "Rules", number)}
    assert named == rules
