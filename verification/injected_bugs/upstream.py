"""Bugs at the upstream's edge: connections, addresses (FAULTS D1 to D4), name lookup."""

from verification.injected_bugs.bug import Bug

UPSTREAM = (
    Bug(
        "each attempt says that it is the first",
        "upstream/pool.py", "            attempt.number,\n", "            1,\n",
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
        "upstream/pool.py", "            self._losers.discard(connection)\n", "            pass\n",
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
        "upstream/pool.py", "ExpiryQueue(loser_grace_s)", "ExpiryQueue(99.0)",
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
        "upstream/addresses.py", "            elif address in tried:\n", "            elif address in ():\n",
        "C02", 0.01,
    ),
    Bug(
        "D2 the last hedge takes any pooled connection",
        "upstream/idle_connections.py", "        if attempt.number >= self._attempts_per_request:\n",
        "        if attempt.number < 0:\n",
        "C02", 0.003,
    ),
    Bug(
        "D2 the last hedge takes a connection that no other has proven",
        "upstream/idle_connections.py", "            if self._used_at >= used_since:",
        "            if used_since > 0.0:",
        "C02", 0.02,
    ),
    Bug(
        "a pooled connection is used though unrequested bytes have come",
        "upstream/idle_connections.py",
        "                if connection.fd in unread:", "                if connection.fd < 0:",
        "tests/unit/upstream/test_pool.py",
    ),
    Bug(
        "the end of an answer that is the end of its connection waits for the next poll",
        "upstream/connection.py", "        for _ in range(READS_PER_EVENT):\n", "        for _ in range(1):\n",
        "tests/unit/upstream/test_connection.py",
    ),
    Bug(
        "D3 connections to addresses that are gone are used on",
        "upstream/idle_connections.py", "        return not self._connector.is_current(connection.address)\n",
        "        return False\n",
        "C02", 0.01,
    ),
    Bug(
        "D3 a name is looked up once",
        "upstream/addresses.py", "        self.next_lookup_at = now + self._ttl_s\n",
        "        self.next_lookup_at = inf\n",
        "C02", 0.003,
    ),
    Bug(
        "D4 addresses are forgotten when a lookup fails",
        "upstream/addresses.py",
        "        self._looked_up_at = now\n        self.next_lookup_at = now + LOOKUP_PAUSE_S\n",
        "        self.all = ()\n        self._looked_up_at = now\n        self.next_lookup_at = now + LOOKUP_PAUSE_S\n",
        "C02", 0.01,
    ),
    Bug(
        "a full pool leaves hedges without a connection",
        "upstream/pool.py",
        "if (attempt.number > 1 or attempt.request.tried) and len(self.connections) < self.max_connections:",
        "if attempt.number > 1 or attempt.request.tried:",
        "C02", 0.02,
    ),
)  # fmt: skip
