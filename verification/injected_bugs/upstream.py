"""Bugs at the upstream's edge: connections, addresses (FAULTS D1 to D4), name lookup."""

from verification.injected_bugs.bug import Bug

UPSTREAM = (
    Bug(
        "each attempt says that it is the first",
        "upstream/request_writer.py",
        "            request.request_id,\n            attempt.number,\n            trace,\n",
        "            request.request_id,\n            1,\n            trace,\n",
        "C14", 0.001,
    ),
    Bug(
        "what losers came to is not counted",
        "upstream/pool.py", "        self._observer.attempt_finished(attempt)\n",
        "        if not attempt.is_loser:\n            self._observer.attempt_finished(attempt)\n",
        "C14", 0.001,
    ),
    Bug(
        "an attempt that has finished is still a loser",
        "upstream/pool.py", "            self.losers.discard(connection)\n", "            pass\n",
        "C02", 0.02,
    ),
    Bug(
        "a closed connection is used again",
        "upstream/idle_connections.py",
        "            connection = connections.pop()\n            if connection.state == IDLE:\n",
        "            connection = connections.pop()\n            if connection.state >= 0:\n",
        "C02", 0.02,
    ),
    Bug(
        "losers run on",
        "upstream/losers.py", "ExpiryQueue(grace_s)", "ExpiryQueue(99.0)",
        "C02", 0.003,
    ),
    Bug(
        "an idle connection is not seen to end",
        "upstream/connection.py",
        "        if self.state != ACTIVE:  # unrequested bytes\n            self.close()\n",
        "        if self.state != ACTIVE:\n",
        "C02", 0.02,
    ),
    Bug(
        "D1 hedges go where the first attempt went",
        "upstream/endpoints.py", "        if tried:\n            self._renew",
        "        if not tried:\n            self._renew",
        "C02", 0.01,
    ),
    Bug(
        "an address that its name has lost for a while is tried again",
        "upstream/endpoints.py", "if present.address == endpoint.address:", "if present is endpoint:",
        "tests/unit/upstream/test_endpoints.py",
    ),
    Bug(
        "U03 a loser that was cut speaks against its endpoint",
        "upstream/endpoints.py",
        "            if outcome.reason in (FailureReason.TIMEOUT, FailureReason.CONNECT):\n                return\n",
        "            if outcome.reason is FailureReason.TIMEOUT:\n                self._failed(endpoint, now)\n"
        "                return\n",
        "tests/unit/upstream/test_endpoints.py",
    ),
    Bug(
        "U03 all endpoints may be ejected at once",
        "upstream/endpoints.py",
        "        return not ejected or 100 * (ejected + 1) <= rule.max_ejection_percent * len(self.all)\n",
        "        return True\n",
        "tests/unit/upstream/test_endpoints.py",
    ),
    Bug(
        "an attempt waits for its handshake beside connections that are idle",
        "upstream/opening_connections.py", "        if self._needed:\n", "        if not self._needed:\n",
        "tests/unit/upstream/test_opening_connections.py",
    ),
    Bug(
        "an attempt that waits is sent on a connection to another endpoint",
        "upstream/opening_connections.py",
        "            if connection.handshaking_with is endpoint and not connection.retried:\n",
        "            if connection.handshaking_with is not None and not connection.retried:\n",
        "tests/unit/upstream/test_opening_connections.py",
    ),
    Bug(
        "a handshake that is needed again is not started",
        "upstream/connecting.py", "        self.is_needed = True\n        if self._handshake is not None:\n",
        "        self.is_needed = True\n        if self._handshake is None:\n",
        "tests/unit/upstream/test_handshakes.py",
    ),
    Bug(
        "D2 the last hedge takes any pooled connection",
        "upstream/pool.py", "        return number > 1 and", "        return number < 0 and",
        "C02", 0.003,
    ),
    Bug(
        "D2 the last hedge takes a connection that no other has proven",
        "upstream/idle_connections.py", "        pooled_work = self._used_at >= started_at\n",
        "        pooled_work = True\n",
        "C02", 0.02,
    ),
    Bug(
        "D2 the last hedge takes over a handshake that may be mute",
        "upstream/opening_connections.py", "not is_last_hedge and attempt.request", "attempt.request",
        "tests/unit/upstream/test_pool.py",
    ),
    Bug(
        "a pooled connection is used though unrequested bytes have come",
        "upstream/idle_connections.py",
        "                if connection.fd in unread:", "                if connection.fd < 0:",
        "tests/unit/upstream/test_pool.py",
    ),
    Bug(
        "the rest of a long answer waits for the next poll",
        "upstream/connection.py", "        self._pool.loop.read_again(self)\n", "",
        "tests/unit/upstream/test_connection.py",
    ),
    Bug(
        "D3 connections to addresses that are gone are used on",
        "upstream/idle_connections.py", "        return not endpoint.is_current or ", "        return ",
        "C02", 0.01,
    ),
    Bug(
        "D3 a name is looked up once",
        "upstream/names.py", "isinstance(result, Failure) else self._ttl_s)", "isinstance(result, Failure) else inf)",
        "C02", 0.003,
    ),
    Bug(
        "D4 addresses are forgotten when a lookup fails",
        "upstream/connector.py",
        "        elif any(name.is_pending for name in self._names.values()):  # another may find some\n",
        "        else:\n            self.endpoints.replace(target, ())\n        if False:\n",
        "C02", 0.01,
    ),
    Bug(
        "a full pool leaves hedges without a connection",
        "upstream/connection_budget.py",
        "            idle.close()\n            return True\n", "            return False\n",
        "tests/unit/upstream/test_connection_budget.py",
    ),
)  # fmt: skip
