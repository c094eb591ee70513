"""Bugs at the clients' edge: leaving, being slow, pipelining (FAULTS B1, B2, C2), and what is counted of it."""

from verification.injected_bugs.bug import Bug

CLIENTS = (
    Bug(
        "disconnects are not noticed",
        "server/request_pipeline.py", "            answering.cancel()\n", "            pass\n",
        "C08", 0.01,
    ),
    Bug(
        "a half-closed connection is kept",
        "server/connection.py", "        self._end_pipeline()\n        self._eof = True\n",
        "        return\n",
        "C08", 0.005,
    ),
    Bug(
        "connections of clients are not forgotten",
        "server/connection.py", "            context.connections.discard(self)\n", "",
        "C08", 0.01,
    ),
    Bug(
        "what is due waits while a burst is accepted",
        "server/listener.py", "loop.run_due_work()\n        self._yields = 0\n", "loop\n        self._yields = 0\n",
        "tests/unit/server/test_listener.py",
    ),
    Bug(
        "a parser and its connection hold each other",
        "server/request_reader.py", "            parser.close()\n", "            pass\n",
        "C02", 0.0005,
    ),
    Bug(
        "a stream and its connection hold each other",
        "net/stream.py", "            self.owner = None", "            pass",
        "C02", 0.0005,
    ),
    Bug(
        "an abandoned request is in flight for good",
        "request_task.py", '            self._end("abandoned", race, None, now)\n', "            self._race = None\n",
        "C08", 0.01,
    ),
    Bug(
        "the time of a head starts again with each byte",
        "server/request_pipeline.py",
        "            if unfinished is None:\n", "            if unfinished is None or self._request is None:\n",
        "C10", 0.01,
    ),
    Bug(
        "the time of a body begins with the end of its head",
        "server/unfinished_request.py", "response_deadline(request.arrived_at,", "response_deadline(loop.clock(),",
        "tests/unit/server/test_unfinished_request.py",
    ),
    Bug(
        "a body that does not come is waited for",
        "server/request_pipeline.py",
        "        if self._unfinished is unfinished:\n", "        if self._unfinished is None:\n",
        "C02", 0.01,
    ),
    Bug(
        "idle connections are kept",
        "server/timeouts.py", "if one.idle_since <= long_ago", "if one.idle_since <= 0.0",
        "C10", 0.01,
    ),
    Bug(
        "a client that does not read is never cut off",
        "server/connection.py", "        self._context.timeouts.write_blocked(self, loop.clock())\n", "",
        "C10", 0.01,
    ),
    Bug(
        "the kernel holds as many answers as it likes",
        "server/listener.py", "socket.SOL_SOCKET, socket.SO_SNDBUF", "socket.SOL_SOCKET, socket.SO_DEBUG",
        "C10", 0.01,
    ),
    Bug(
        "after a rejection it reads on for good",
        "server/connection.py", "        self._context.timeouts.lingering(self, self._context.loop.clock())\n", "",
        "C10", 0.01,
    ),
    Bug(
        "closing does not linger",
        "server/connection.py",
        "        self._stream.end_writing()\n",
        "        self._stream.end_writing()\n        self.abort()\n        return\n",
        "C02", 0.02,
    ),
    Bug(
        "a write-blocked client is kept for good when it has half-closed",
        "server/connection.py",
        "        if self._stream.unsent_bytes:  # the rest goes within the write timeout\n",
        "        if self._stream.blocked:\n            self._context.timeouts.write_unblocked(self)\n"
        "        if self._stream.unsent_bytes:\n",
        "tests/unit/server/test_connection.py",
    ),
    Bug(
        "B1 one read is answered whole",
        "server/request_pipeline.py", "if answered == REQUESTS_PER_STEP or", "if answered < 0 or",
        "C02", 0.002,
    ),
    Bug(
        "B1 answers that wait to be read have no bound",
        "server/request_pipeline.py",
        "not (self._ended or stream.blocked)", "not self._ended",
        "C02", 0.005,
    ),
    Bug(
        "B2 what comes later is dated like what came first",
        "server/request_reader.py", "self._unparsed.append((data, arrived_at))",
        "self._unparsed.append((data, self._unparsed[0][1] if self._unparsed else arrived_at))",
        "C02", 0.02,
    ),
    Bug(
        "what lay unread is dated as it is read",
        "server/request_reader.py",
        "            return min(now, loop.clock() - age_s) if age_s else now\n",
        "            return now\n",
        "C02", 0.005,
    ),
    Bug(
        "a request that has come on an idle connection is lost with it",
        "server/connection.py",
        "            self.read()\n            if self.idle_since == idle_since and", "            if",
        "tests/unit/server/test_server.py",
    ),
    Bug(
        "a connection that was paused is not read again",
        "server/request_pipeline.py", "        if self._connection.paused:\n            self._update_reading()\n", "",
        "C02", 0.005,
    ),
    Bug(
        "an answer to HEAD has a body",
        "server/response_writer.py", 'b"" if is_head else response.body', "response.body",
        "C02", 0.001,
    ),
    Bug(
        "what is rejected is not counted",
        "telemetry/recorder.py", "        counters.rejected[code] = counters.rejected.get(code, 0) + 1\n", "",
        "C11", 0.005,
    ),
    Bug(
        "another id in a 404",
        "gateway.py",
        '            return problem_response("not_found"',
        '            request.request_id = b"x"\n            return problem_response("not_found"',
        "C11", 0.03,
    ),
    Bug(
        "B5 idle connections to the admin port keep probes out",
        "admin/server.py", "                self._close_longest_idle()\n\n", "                task.cancel()\n\n",
        "tests/unit/admin/test_server.py",
    ),
    Bug(
        "any number of clients may connect",
        "server/listener.py", "        if beyond >= 0:", "        if beyond >= 9_000:",
        "C15", 0.04,
    ),
)  # fmt: skip
