"""Bugs in what is decided about worker processes."""

from verification.injected_bugs.bug import Bug

_FILE = "processes/supervision.py"
_ROLLING = "processes/rolling_restart.py"
_STATE = "processes/worker_state.py"
_C20 = ("C20", 0.02)

SUPERVISION = (
    Bug(
        "E1 a start that the system rejects is not tried again",
        _FILE, "        wait_s = worker.failed(now)\n",
        "        wait_s = worker.failed(now)\n        worker.due_at = inf\n",
        *_C20,
    ),
    Bug(
        "E1 a start that fails is not logged",
        _FILE, 'return [Report("error", "worker cannot be started", fields), *self._proceed(now)]',
        "return self._proceed(now)",
        *_C20,
    ),
    Bug(
        "E1 a worker that hangs before it serves is not killed",
        _STATE, "self.started_at, self.due_at = now, now + STARTUP_KILL_S", "self.started_at, self.due_at = now, inf",
        *_C20,
    ),
    Bug(
        "a worker that closed its channel and goes on is not killed",
        _FILE, "worker.drain(now + UNRESPONSIVE_KILL_S)", "worker.drain(inf)",
        *_C20,
    ),
    Bug(
        "a worker that hangs is not killed",
        _FILE, "            worker.due_at = now + UNRESPONSIVE_KILL_S\n", "            worker.due_at = inf\n",
        *_C20,
    ),
    Bug(
        "a worker that was asked and has answered is killed",
        _FILE, "worker.due_at = inf if all_requests else", "worker.due_at = worker.due_at if all_requests else",
        "tests/unit/processes/test_supervision.py",
    ),
    Bug(
        "a drain may take for ever",
        _FILE, "self._kill_after_s = drain_s + KILL_AFTER_S", "self._kill_after_s = inf",
        *_C20,
    ),
    Bug(
        "a worker that keeps failing is started again at once",
        _STATE, "        self.due_at = now + wait_s\n", "        self.due_at = now\n",
        *_C20,
    ),
    Bug(
        "E2 a worker that is no longer wanted is started",
        _FILE, "[worker.start(self._rolling.generation, now)] if worker.wanted is Wanted.RUN else []",
        "[worker.start(self._rolling.generation, now)]",
        *_C20,
    ),
    Bug(
        "E2 a worker that dies while its successor starts is started again",
        _FILE, "if self._rolling.replaces(worker):", "if False:",
        *_C20,
    ),
    Bug(
        "a SIGHUP during a SIGHUP is lost",
        _FILE, "        if not self.is_stopping:\n            self._rolling.begin()",
        "        if not self.is_stopping and not self.is_rolling:\n            self._rolling.begin()",
        *_C20,
    ),
    Bug(
        "a worker is replaced before its successor serves",
        _ROLLING, "self._incoming.state is State.SERVING", "self._incoming.state is not State.GONE",
        *_C20,
    ),
    Bug(
        "a reload loses what is in flight",
        _ROLLING, "actions += self._outgoing.drain(kill_at)",
        "actions += self._outgoing.drain(0.0)",
        "tests/end_to_end/test_reload.py::test_a_reload_waits_for_what_is_in_flight",
    ),
    Bug(
        "workers are still wanted after SIGTERM",
        _FILE, "                worker.wanted = Wanted.STOP\n                actions", "                actions",
        *_C20,
    ),
    Bug(
        "E6 two SIGTERMs at once end what is in flight",
        _FILE, "now - self._stopping_at >= ONE_SIGNAL_S", "now > self._stopping_at",
        *_C20,
    ),
    Bug(
        "a second SIGTERM is lost",
        _FILE, "now - self._stopping_at >= ONE_SIGNAL_S", "now < self._stopping_at",
        *_C20,
    ),
    Bug(
        "workers are blamed for a stall of the supervisor",
        _FILE, "if since_s > STALL_S:", "if since_s > inf:",
        *_C20,
    ),
    Bug(
        "a worker that is asked to drain while it drains has longer than its drain",
        _STATE, "self.due_at = min(self.due_at, kill_at)", "self.due_at = max(self.due_at, kill_at)",
        *_C20,
    ),
    Bug(
        "a start that cannot succeed goes on for ever",
        _FILE, "return all(worker.failures >= START_ATTEMPTS for worker in self.workers)", "return False",
        "tests/unit/processes/test_supervision.py",
    ),
    Bug(
        "E1 what a worker sends ends its supervision",
        "processes/worker_channel.py", "except Exception as error:  # noqa: BLE001",
        "except OSError as error:  # noqa: BLE001",
        "tests/unit/processes/test_worker_channel.py",
    ),
    Bug(
        "E4 PID 1 leaves the orphans that it is handed as zombies",
        "processes/child_processes.py", "if os.getpid() == INIT_PID:", "if os.getpid() == 0:",
        "tests/end_to_end/test_pid_1.py",
    ),
    Bug(
        "E3 signals are not held while the gateway starts",
        "__main__.py", 'signal.SIG_BLOCK if sys.argv[1:2] == ["serve"] else signal.SIG_UNBLOCK', "signal.SIG_UNBLOCK",
        "tests/end_to_end/test_pid_1.py",
    ),
    Bug(
        "E5 children import what lies in the current folder",
        "processes/child_processes.py", '[sys.executable, "-P", "-m", module,', '[sys.executable, "-m", module,',
        "tests/unit/processes/test_child_processes.py",
    ),
)  # fmt: skip
