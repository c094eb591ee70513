"""Bugs in what passes through routes: headers, bodies, endpoints, final answers."""

from verification.injected_bugs.bug import Bug

ROUTES = (
    Bug(
        "a final answer is a failure like any other",
        "core/answer_rules.py", "((_FINAL, final), (_SUCCESS, success))", "((_SUCCESS, success),)",
        "C02", 0.005,
    ),
    Bug(
        "a final answer does not end the race",
        "core/hedging.py", "                elif isinstance(outcome, Success):\n",
        "                elif isinstance(outcome, Success) and (\n"
        "                    outcome.answer is None or not outcome.answer.is_final or self._hedges_at == inf\n"
        "                ):\n",
        "C02", 0.01,
    ),
    Bug(
        "hedges go to the endpoint of the first attempt again",
        "upstream/endpoints.py", "if count == fewest\n", "if count >= fewest\n",
        "C02", 0.005,
    ),
    Bug(
        "an endpoint that was tried comes before one that was not",
        "upstream/endpoints.py", "            fewest = min(tries)\n", "            fewest = max(tries)\n",
        "C02", 0.005,
    ),
    Bug(
        "what went to a single endpoint is forgotten when there are several",
        "upstream/endpoints.py", "if len(tried) < attempts and self._was_only is not None:",
        "if len(tried) > attempts and self._was_only is not None:",
        "C02", 0.05,
    ),
    Bug(
        "only the first attempt has the body",
        "upstream/request_writer.py", "route, body = request.route, message.body\n",
        'route, body = request.route, message.body if attempt.number == 1 else b""\n',
        "C02", 0.005,
    ),
    Bug(
        "a body loses its last byte",
        "server/request_body.py",
        "message.body = bytes(self._content)\n", "message.body = bytes(self._content[:-1])\n",
        "C02", 0.005,
    ),
    Bug(
        "the body behind an offer to upgrade is the next request",
        "server/request_parser.py",
        "                    self._parse_body_behind_offer(self._body.request)\n", "                    pass\n",
        "C11", 0.01,
    ),
    Bug(
        "a body is sent without its length",
        "upstream/request_writer.py",
        "if body or request.method in _WITH_CONTENT:",
        "if not body and request.method in _WITH_CONTENT:",
        "C02", 0.005,
    ),
    Bug(
        "bodies of requests that are over count on",
        "server/request_reader.py", "        self._context.bodies.give_back(size)\n", "",
        "C02", 0.005,
    ),
    Bug(
        "headers that Connection names pass to the upstream",
        "core/forwarding.py", "        if named:\n", "        if named and not kept:\n",
        "C02", 0.005,
    ),
    Bug(
        "TE passes to the upstream",
        "core/header_fields.py", 'proxy-connection te trailer transfer-encoding upgrade".split()',
        'proxy-connection trailer transfer-encoding upgrade".split()',
        "C02", 0.005,
    ),
    Bug(
        "Keep-Alive passes either way",
        "core/header_fields.py",
        "b\"connection http2-settings keep-alive proxy",
        "b\"connection http2-settings proxy",
        "C02", 0.005,
    ),
    Bug(
        "headers that Connection names pass to the client",
        "core/header_fields.py", "without_names(passed, named) if named else passed\n", "passed\n",
        "C02", 0.005,
    ),
    Bug(
        "the first Connection header alone names headers",
        "core/header_fields.py",
        "for value in connection for part in value.split", "for value in connection[:1] for part in value.split",
        "tests/unit/core/test_header_fields.py",
    ),
    Bug(
        "a header that is sent twice is passed on once",
        "core/forwarding.py",
        '        return b"".join(kept)\n',
        '        lines = b"".join(kept).splitlines(keepends=True)\n'
        '        return b"".join({line.partition(b":")[0].lower(): line for line in lines}.values())\n',
        "C02", 0.005,
    ),
    Bug(
        "headers are passed on in reverse",
        "core/forwarding.py",
        '        return b"".join(kept)\n',
        '        return b"".join(reversed(b"".join(kept).splitlines(keepends=True)))\n',
        "C02", 0.005,
    ),
    Bug(
        "the gateway's own headers are forged by the client's",
        "core/header_fields.py", "content-length expect hedgerow-attempt host", "content-length expect host",
        "C02", 0.01,
    ),
    Bug(
        "answers lose a header",
        "core/header_fields.py",
        '        passed = b"".join(kept)\n', '        passed = b"".join(kept[:-1])\n',
        "C02", 0.005,
    ),
    Bug(
        "the length of an answer is written twice",
        "core/header_fields.py",
        '_HOP_BY_HOP | frozenset((b"content-length", b"x-request-id"))',
        '_HOP_BY_HOP | frozenset((b"x-request-id",))',
        "C02", 0.005,
    ),
)  # fmt: skip
