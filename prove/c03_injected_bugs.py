"""C03: bugs planted in copies of the gateway, each of which a campaign must find: a campaign that cannot fail
proves nothing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from prove import ROOT
from prove.campaign import Campaign, Findings, counted
from prove.processes import end

TIMEOUT_S = 300
"""A planted bug may make a campaign hang; that, too, is noticed."""


@dataclass(frozen=True, slots=True)
class Bug:
    """One edit of one source file, and the campaign that is to notice it."""

    name: str
    file: str
    right: str
    wrong: str
    campaign: str
    share: float


ANSWERED_IN_STOP_ITERATION = (
    "            until = next(self._steps, None)",
    """\
            until = self._steps.send(None)
        except StopIteration:
            self._forget()
            self._on_return(self._result)
            return""",
)

BUGS = (
    Bug(
        "a timeout may have a sign",
        "query.py", "if not given[0].isdigit():", 'if not given[0].lstrip(b"+-").isdigit():',
        "C16", 0.02,
    ),
    Bug(
        "other methods ask, too",
        "gateway.py", '_ALLOWED: Final = (b"GET", b"HEAD")', '_ALLOWED: Final = (b"GET", b"HEAD", b"POST")',
        "C16", 0.004,
    ),
    Bug(
        "a problem does not tell its detail",
        "replies.py", '        "detail": detail,\n', "",
        "C16", 0.004,
    ),
    Bug(
        "disconnects are not seen",
        "http_front/client.py", "            run.cancel()\n", "            pass\n",
        "C08", 0.01,
    ),
    Bug(
        "a half-closed connection is kept",
        "http_front/client.py",
        "        self._leave()\n        self._bound_the_rest()\n\n    def connection_lost",
        "        return True\n\n    def connection_lost",
        "C08", 0.005,
    ),
    Bug(
        "callers' connections are not forgotten",
        "http_front/server.py", "        self.clients.discard(client)\n", "",
        "C08", 0.01,
    ),
    Bug(
        "a parser and its connection hold each other",
        "http_front/client.py", "        self._reader.close()\n", "",
        "C08", 0.1,
    ),
    Bug(
        "an abandoned race is still in flight",
        "telemetry/recorder.py",
        '        self._in_flight -= 1\n        self._durations["abandoned"]',
        '        self._durations["abandoned"]',
        "C08", 0.01,
    ),
    Bug(
        "the clock of a head starts anew with each byte",
        "http_front/client.py",
        "        if self._reader.partial != self._slow:\n", "        if self._reader.partial:\n",
        "C10", 0.01,
    ),
    Bug(
        "idle connections are kept",
        "http_front/server.py", "client.idle_since <= long_ago]", "client.idle_since <= 0.0]",
        "C10", 0.01,
    ),
    Bug(
        "who does not read is never cut off",
        "http_front/client.py",
        "        self._server.deaf(self, begins=True)\n\n    def resume_writing", "\n    def resume_writing",
        "C10", 0.01,
    ),
    Bug(
        "the kernel holds as many answers as it likes",
        "http_front/server.py", "socket.SOL_SOCKET, socket.SO_SNDBUF",
        "socket.SOL_SOCKET, socket.SO_DEBUG",
        "C10", 0.01,
    ),
    Bug(
        "after a refusal it reads on for good",
        "http_front/client.py", "        self._server.lingers(self)\n", "",
        "C10", 0.01,
    ),
    Bug(
        "chunks are no body",
        "server/request_parser.py",
        'case b"transfer-encoding":\n                self._has_body = True',
        'case b"transfer-encoding":\n                pass',
        "C11", 0.005,
    ),
    Bug(
        "any length is no body",
        "server/request_parser.py", 'value.strip(b"0") != b""', 'value.strip(b"0123456789") != b""',
        "C11", 0.005,
    ),
    Bug(
        "several hosts are as good as one",
        "server/request_parser.py",
        'if self._host is not None:\n                    raise', 'if self._host == b"?":\n                    raise',
        "C11", 0.005,
    ),
    Bug(
        "a host may be anything",
        "server/request_parser.py", "not is_valid_host(value):", 'not is_valid_host(b"x"):',
        "C11", 0.005,
    ),
    Bug(
        "an answer to HEAD has a body",
        "http_front/client.py", 'b"" if request.method == b"HEAD" else reply.body', "reply.body",
        "C11", 0.03,
    ),
    Bug(
        "what is rejected is not counted",
        "telemetry/recorder.py", "        self._rejected[code] += 1\n", "",
        "C11", 0.005,
    ),
    Bug(
        "another id in a 404",
        "gateway.py",
        '            return self._reject(request, "not_found"',
        '            request.request_id = b"x"\n            return self._reject(request, "not_found"',
        "C11", 0.03,
    ),
    Bug(
        "a version is looked for in one read alone",
        "server/request_parser.py", "line = self._line + data if self._line else data", "line = data",
        "C11", 0.05,
    ),
    Bug(
        "a refusal at the end of a race is lost",
        "trampoline.py", *ANSWERED_IN_STOP_ITERATION,
        "C11", 0.05,
    ),
    Bug(
        "names in a query are not decoded",
        "query.py", 'if _decoded(name) == b"timeout"', 'if name == b"timeout"',
        "C12", 0.005,
    ),
    Bug(
        "strings in a payload are not looked into",
        "payload.py", "        if not body.isascii():\n", "        if not body:\n",
        "C12", 0.005,
    ),
    Bug(
        "an answer of RTSP is one of HTTP",
        "upstream/connection.py",
        '.startswith(b"HTTP/1."):\n                raise',
        '.startswith((b"HTTP/1.", b"RTSP/1.")):\n                raise',
        "C12", 0.009,
    ),
    Bug(
        "an unsound tracestate is passed on",
        "traces.py", "if len(keys) != len(members) or", "if len(keys) > len(members) or",
        "C12", 0.005,
    ),
    Bug(
        "a header that speaks of RTSP is refused if it is cut there",
        "server/request_parser.py", 'else b" " if self._headers else line', 'else b"" if self._headers else line',
        "C12", 0.005,
    ),
    Bug(
        "a head may be of any length while it is cut small",
        "server/request_parser.py", "            if self._pending > self._max_pending_bytes:\n",
        "            if self._pending < 0:\n",
        "C12", 0.02,
    ),
    Bug(
        "of two heads that come together again one is answered",
        "server/request_parser.py",
        "if self._requests == 1 and request is not None and not self.partial:",
        "if request is not None and not self.partial:",
        "C12", 0.005,
    ),
    Bug(
        "a negative time is a success",
        "payload.py", "    if work.time < 0:\n", "    if work.time < -9:\n",
        "C13", 0.003,
    ),
    Bug(
        "M11 any 2xx is a success",
        "payload.py", "    if status != 200:\n", "    if not 200 <= status <= 299:\n",
        "C13", 0.003,
    ),
    Bug(
        "what is no HTTP raises",
        "upstream/connection.py",
        "except (httptools.HttpParserError, httptools.HttpParserUpgrade) as", "except httptools.HttpParserUpgrade as",
        "C13", 0.003,
    ),
    Bug(
        "nesting that is too deep raises",
        "payload.py",
        "RecursionError) as error:\n        return Failure(FailureReason.BAD_JSON, str(error))\n    if",
        "KeyError) as error:\n        return Failure(FailureReason.BAD_JSON, str(error))\n    if",
        "C13", 0.003,
    ),
    Bug(
        "answers have no limit",
        "upstream/connection.py", "            self._check_size()\n", "            pass\n",
        "C13", 0.003,
    ),
    Bug(
        "each attempt is told to be the first",
        "upstream/pool.py", "            attempt.number,\n", "            1,\n",
        "C14", 0.001,
    ),
    Bug(
        "the first attempt is told to have won",
        "hedging.py", "return Won(attempt, attempt", "return Won(attempts[0], attempt",
        "C14", 0.001,
    ),
    Bug(
        "what losers came to is not counted",
        "upstream/pool.py", "        self._observer.attempt_ended(attempt, lost=connection.lost_race)\n",
        "        if not connection.lost_race:\n            self._observer.attempt_ended(attempt, lost=False)\n",
        "C14", 0.001,
    ),
    Bug(
        "callers may be as many as like to come",
        "http_front/server.py", "if len(self.clients) <= self.max_clients:", "if len(self.clients) <= 9_000:",
        "C15", 0.04,
    ),
    Bug(
        "a full disk ends the thread that writes the log",
        "telemetry/logs.py", "except OSError:  # a full disk", "except KeyError:  # a full disk",
        "C15", 0.04,
    ),
    Bug(
        "whoever logs waits for room",
        "telemetry/logs.py", "self._waiting.put_nowait(", "self._waiting.put(",
        "C15", 0.15,
    ),
    Bug(
        "the lines at the start are written by the event loop",
        "supervisor.py", "Sink(STANDARD_OUTPUT)", "open(1, 'w', buffering=1, closefd=False)",
        "C15", 0.05,
    ),
    Bug(
        "losers' alarms are kept",
        "upstream/pool.py", "            self._trampoline.alarms.cancel(connection.alarm_tick, connection)\n", "",
        "C07", 0.045,
    ),
    Bug(
        "a request that has ended is still counted",
        "gateway.py", "            self._admission.leave()\n", "            pass\n",
        "C07", 0.02,
    ),
    Bug(
        "hedges leave before the mark",
        "hedging.py", ".launched_at + plan.hedge_after_s if", ".launched_at + plan.hedge_after_s * 0.9 if",
        "C02", 0.003,
    ),
    Bug(
        "hedges leave after the deadline",
        "hedging.py", "if hedges_at <= now < deadline_at:", "if hedges_at <= now:",
        "C02", 0.02,
    ),
    Bug(
        "a loop that stood still asks again before it reads",
        "hedging.py", "if not caught_up and not all_failed:", "if False and not all_failed:",
        "C02", 0.04,
    ),
    Bug(
        "what is ready is not read before hedges leave",
        "trampoline.py", "self._loop.call_soon(self._loop.call_soon, self._resume_after_io, run)",
        "self._loop.call_soon(self._resume_after_io, run)",
        "C02", 0.04,
    ),
    Bug(
        "answers are due at the last instant",
        "deadlines.py", "(arrived_at + timeout_s - min(wanted_s, at_most_s))", "(arrived_at + timeout_s)",
        "C02", 0.003,
    ),
    Bug(
        "the first to fail ends the race",
        "hedging.py", "if all_failed and hedges_at >= deadline_at:", "if all_failed:",
        "C02", 0.003,
    ),
    Bug(
        "a closed connection is used again",
        "upstream/pool.py", "        self._idle.discard(connection)\n", "",
        "C02", 0.003,
    ),
    Bug(
        "losers run on",
        "upstream/pool.py", "self.clock() + self._loser_grace_s, connection", "self.clock() + 99.0, connection",
        "C02", 0.003,
    ),
    Bug(
        "a caller is answered within the handling of an exception",
        "trampoline.py", *ANSWERED_IN_STOP_ITERATION,
        "C02", 0.01,
    ),
    Bug(
        "closing waits for callers that do not read",
        "http_front/client.py", "            self._bound_the_rest()\n", "",
        "C02", 0.02,
    ),
    Bug(
        "a failed lookup that nobody waits for is logged as a bug",
        "upstream/dialing.py", "                self._lookup.add_done_callback(_heard)\n", "",
        "C02", 0.005,
    ),
    Bug(
        "a failed dial holds itself",
        "upstream/dialing.py", "self.no_connection(error.with_traceback(None))", "self.no_connection(error)",
        "C02", 0.02,
    ),
    Bug(
        "of the hedges that won, only the second attempt counts",
        "telemetry/recorder.py", "            if winner != 1:\n", "            if winner == 2:\n",
        "C02", 0.003,
    ),
)  # fmt: skip


def planted(bug: Bug) -> str:
    """Give the source of the bug's file with the bug in it. Raises if its place is not there, or not alone."""
    source = (ROOT / "src" / "hedgerow" / bug.file).read_text()
    if source.count(bug.right) != 1:
        raise ValueError(f"{bug.name}: its place in {bug.file} has moved")
    return source.replace(bug.right, bug.wrong)


def plant(bug: Bug, folder: Path) -> None:
    """Copy the gateway and put the bug in."""
    shutil.copytree(ROOT / "src", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "hedgerow" / bug.file).write_text(planted(bug))


def broken_laws(bug: Bug, seed: int) -> list[str]:
    """Run the campaign against the bug; tell which laws it found broken."""
    with tempfile.TemporaryDirectory() as folder:
        plant(bug, Path(folder))
        campaign = subprocess.Popen(
            [
                sys.executable, "-m", "prove",
                f"--only={bug.campaign}", f"--share={bug.share}", f"--seed={seed}",
            ],
            cwd=ROOT, env=os.environ | {"PYTHONPATH": folder}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            told, errors = campaign.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return ["it ends"]
        finally:
            end(campaign)
    lines = [line.strip() for line in told.splitlines()]
    laws = [line.partition(": ")[2] for line in lines if line.startswith("BROKEN")]
    if not laws and campaign.returncode:
        return [f"it does not break down ({errors.strip().splitlines()[-1]})"]
    return laws


def run(seed: int, share: float) -> Findings:
    """Plant each bug, or the first few, and see that its campaign notices."""
    bugs = BUGS[: counted(len(BUGS), share)]
    findings = Findings(count=len(bugs))
    caught: Counter[str] = Counter()
    for bug in bugs:
        laws = broken_laws(bug, seed)
        findings.check(bool(laws), "every planted bug is found", f"{bug.name} ({bug.file}) by {bug.campaign}")
        if laws:
            caught[bug.campaign] += 1
            findings.figures[f"{bug.campaign}: {bug.name}"] = "; ".join(laws)
    findings.figures["caught by"] = ", ".join(f"{name} {times}" for name, times in sorted(caught.items()))
    return findings


CAMPAIGN = Campaign(
    id="C03",
    title="planted bugs",
    proves="Each campaign can fail: bugs are put into copies of the gateway, and each is noticed.",
    must_reach="at least 20 planted bugs, all found",
    run=run,
)
