"""Bugs in the order of an iteration, and in what is registered."""

from verification.injected_bugs.bug import Bug

EVENT_LOOP = (
    Bug(
        "hedges are sent before the answers that had come are read",
        "eventloop/loop.py",
        "        clients_ready = False\n", "        self._run_due()\n        clients_ready = False\n",
        "C02", 0.04,
    ),
    Bug(
        "clients are read before the upstream's answers",
        "eventloop/loop.py", "                clients_ready = True\n",
        "                clients_ready = True\n                self.clients.read(now)\n",
        "C02", 0.02,
    ),
    Bug(
        "connections are accepted before clients are read",
        "eventloop/loop.py", "                listeners.append(fd)\n",
        "                self.handle(self._listeners[fd], READABLE)\n",
        "C02", 0.003,
    ),
    Bug(
        "an event of a closed socket reaches the next one with its number",
        "eventloop/source_table.py",
        "        self._added[fd] = source\n        self._number += 1\n",
        "        self._added[fd] = source\n        self._number += 1\n        self.polled()\n",
        "tests/unit/eventloop/test_loop.py",
    ),
    Bug(
        "timers fire a tick late",
        "eventloop/deadlines.py",
        "        tick = int(at * TICKS_PER_S)\n", "        tick = int(at * TICKS_PER_S) + 6\n",
        "C02", 0.003,
    ),
    Bug(
        "what was written is sent in the next iteration",
        "eventloop/loop.py",
        "self._run_ready()\n        self._flush()\n        ended_at", "self._run_ready()\n        ended_at",
        "C02", 0.003,
    ),
    Bug(
        "clients are taken for read up to the return of a poll",
        "eventloop/loop.py",
        "            self.clients.read(asked_at)\n", "            self.clients.read(polled_at)\n",
        "tests/unit/eventloop/test_loop.py",
    ),
    Bug(
        "what is read after a stop within an iteration is dated as it is read",
        "server/request_reader.py", " or now > loop.clients.are_fresh_until:", ":",
        "tests/unit/server/test_request_pipeline.py",
    ),
    Bug(
        "an overdue connection is closed before it is read",
        "server/server.py", "        read_until = loop.clients.read_at\n", "        read_until = loop.clock()\n",
        "C02", 0.06,
    ),
    Bug(
        "all hedges that waited for answers are sent at once",
        "eventloop/scheduler.py", "            if self.clock() >= ends_at:\n                break\n", "",
        "tests/unit/eventloop/test_scheduler.py",
    ),
    Bug(
        "clients wait while polls are full of answers",
        "eventloop/loop.py",
        "            clients_ready, listeners = True, list(self._listeners)\n", "            pass\n",
        "tests/unit/eventloop/test_loop.py",
    ),
)  # fmt: skip
