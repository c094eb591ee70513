"""Bugs in what is made of bytes: requests, answers, and what is said of them."""

from verification.injected_bugs.bug import Bug

PARSING = (
    Bug(
        "a timeout may have a sign",
        "core/timeout_param.py", "if not given[0].isdigit():", 'if not given[0].lstrip(b"+-").isdigit():',
        "C16", 0.02,
    ),
    Bug(
        "other methods ask, too",
        "core/route.py", 'methods: tuple[bytes, ...] = (b"GET", b"HEAD"),',
        'methods: tuple[bytes, ...] = (b"GET", b"HEAD", b"POST"),',
        "tests/unit/test_gateway.py",
    ),
    Bug(
        "a problem has no detail",
        "core/response.py", '        "detail": detail,\n', "",
        "C16", 0.004,
    ),
    Bug(
        "chunks are no body",
        "server/request_fields.py",
        'case b"transfer-encoding":\n                self.has_body = True',
        'case b"transfer-encoding":\n                pass',
        "C11", 0.005,
    ),
    Bug(
        "any length is no body",
        "server/request_fields.py", 'value.strip(b"0") != b""', 'value.strip(b"0123456789") != b""',
        "C11", 0.005,
    ),
    Bug(
        "several hosts are as good as one",
        "server/request_fields.py",
        "if self.host is not None:\n                    raise", 'if self.host == b"?":\n                    raise',
        "C11", 0.005,
    ),
    Bug(
        "a host may be anything",
        "server/request_fields.py", "and not is_valid_host(value):", 'and not is_valid_host(b"x"):',
        "C11", 0.005,
    ),
    Bug(
        "a version is looked for in one read alone",
        "server/rtsp.py", "line = self.line + data if self.line else data", "line = data",
        "C11", 0.05,
    ),
    Bug(
        "names in a query are not decoded",
        "core/timeout_param.py",
        "for name, _, value in pairs if _decoded(name) == parameter]",
        "for name, _, value in pairs if name == parameter]",
        "C12", 0.005,
    ),
    Bug(
        "strings in a payload are not looked into",
        "core/response_validation.py", "        if not body.isascii():\n", "        if not body:\n",
        "C12", 0.005,
    ),
    Bug(
        "an answer of RTSP is one of HTTP",
        "upstream/response_reader.py",
        '.startswith(b"HTTP/1."):\n            raise',
        '.startswith((b"HTTP/1.", b"RTSP/1.")):\n            raise',
        "C12", 0.009,
    ),
    Bug(
        "an unsound tracestate is passed on",
        "core/trace_context.py", "if len(keys) != len(members) or", "if len(keys) > len(members) or",
        "C12", 0.005,
    ),
    Bug(
        "a header that speaks of RTSP is rejected if it is cut there",
        "server/rtsp.py", '            self.line = b" "\n', '            self.line = b""\n',
        "C12", 0.005,
    ),
    Bug(
        "a head may be of any length while it is cut small",
        "server/request_parser.py", "            if self._pending > self._max_pending_bytes:\n",
        "            if self._pending < 0:\n",
        "C12", 0.02,
    ),
    Bug(
        "a connection that was to end goes on where the head came whole",
        "server/whole_head.py", "if self._passed_on else None, self._keeps_alive,",
        "if self._passed_on else None, True,",
        "tests/unit/server/test_whole_head.py",
    ),
    Bug(
        "the head of an answer is that of any which is as long",
        "core/answer_rules.py", " and data.startswith(known.head) else None", " else None",
        "tests/unit/upstream/test_connection_vs_h11.py",
    ),
    Bug(
        "the head of an answer in two reads is known",
        "upstream/response_reader.py", " == len(data) == self.wire_bytes and", " == len(data) and",
        "tests/unit/upstream/test_connection_vs_h11.py",
    ),
    Bug(
        "a negative time is a success",
        "core/response_validation.py", "    if payload.time < 0.0:", "    if payload.time < -9.0:",
        "C13", 0.003,
    ),
    Bug(
        "M11 any 2xx is a success",
        "core/response_validation.py", "    if status != 200:\n", "    if not 200 <= status <= 299:\n",
        "C13", 0.003,
    ),
    Bug(
        "what is no HTTP raises",
        "upstream/response_reader.py",
        "except (httptools.HttpParserError, httptools.HttpParserUpgrade) as", "except httptools.HttpParserUpgrade as",
        "C13", 0.003,
    ),
    Bug(
        "nesting that is too deep raises",
        "core/response_validation.py",
        "RecursionError) as error:\n        return Failure(FailureReason.BAD_JSON, str(error))\n    if",
        "KeyError) as error:\n        return Failure(FailureReason.BAD_JSON, str(error))\n    if",
        "C13", 0.003,
    ),
    Bug(
        "answers have no limit",
        "upstream/response_reader.py", "            return self._check_size()\n", "            return None\n",
        "C12", 0.009,
    ),
    Bug(
        "Connection passes through, both ways",
        "core/header_fields.py", 'b"connection http2-settings keep-alive proxy', 'b"http2-settings keep-alive proxy',
        "C19", 0.3,
    ),
    Bug(
        "what was cut off is whole",
        "upstream/response_reader.py",
        'return b"\\ncontent-length:" not in fields', 'return b"\\ncontent-length:" not in fields or bool(self._head)',
        "C19", 0.9,
    ),
    Bug(
        "anything that begins as JSON does is JSON",
        "core/answer_rules.py", "            if problem:\n", "            if problem and not body:\n",
        "C19", 0.3,
    ),
    Bug(
        "the rest of a refused body is waited for",
        "server/request_reader.py", "parser.partial and self.rejected is None", "parser.partial",
        "tests/unit/server/test_unfinished_request.py",
    ),
)  # fmt: skip
