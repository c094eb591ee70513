"""`hedgerow simulate`: flags and environment variables to a `Behaviour`, and errors to exit codes."""

import math
import re
import secrets
from collections.abc import Callable
from functools import partial
from socket import socket
from typing import Any

import click

from hedgerow_simulator.behaviour import Behaviour, BehaviourError
from hedgerow_simulator.capacity import Capacity, CapacityError, Disturbance, parse_disturbance
from hedgerow_simulator.limits import MAX_CAPACITY, MAX_LATENCY_MS, MAX_QUEUE, MAX_SLOWNESS, MAX_WORKERS
from hedgerow_simulator.listen import inherit_listener, listen
from hedgerow_simulator.workers import run

EXIT_USAGE = 2
EXIT_NOT_STARTED = 3
EXIT_WORKER_LOST = 1

MAX_SEED = 2**32 - 1
"""Largest seed: short enough to copy by hand."""

_DIGITS = re.compile(r"[0-9]{1,10}", re.ASCII)
_SPAN = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", re.ASCII)


class OneLineError(click.ClickException):
    """A usage error printed as one line, without the usage text."""

    exit_code = EXIT_USAGE


class _NotStartedError(OneLineError):
    exit_code = EXIT_NOT_STARTED


class _WorkerLostError(OneLineError):
    exit_code = EXIT_WORKER_LOST


class OneLineCommand(click.Command):
    """A command whose usage errors are one line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as usual; raise `OneLineError`."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise OneLineError(error.format_message()) from error


def _span(text: str) -> tuple[int, int]:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a whole number of ms or LOW-HIGH, 0 to {MAX_LATENCY_MS}")
    low = int(match[1])
    return low, low if match[2] is None else int(match[2])


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise click.BadParameter(f"{text!r} is not a share from 0 to 1")
    return share


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not _DIGITS.fullmatch(text) or not low <= int(text) <= high:
            raise click.BadParameter(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return read


def _disturbance(word: str, most: float) -> Callable[[str], Disturbance]:
    def read(text: str) -> Disturbance:
        try:
            return parse_disturbance(text, word=word, most=most)
        except CapacityError as error:
            raise click.BadParameter(str(error)) from error

    return read


_flag = partial(click.option, show_default=True, show_envvar=True)
_rate = partial(_flag, type=_share, metavar="0..1")
_hidden = partial(click.option, hidden=True, is_flag=True)
_default = Behaviour()


@click.command(
    name="simulate", cls=OneLineCommand, context_settings={"auto_envvar_prefix": "HEDGEROW_SIMULATE"}
)
@_flag("--host", default="127.0.0.1", help="Address to listen on.")
@_flag("--port", type=_whole_number(0, 65_535), default="8090", metavar="N", help="0: a free one.")
@_flag(
    "--latency-ms",
    type=_span,
    default="{}-{}".format(*_default.latency_ms),
    metavar="LOW-HIGH",
    help="Uniform from LOW to HIGH; or one number.",
)
@_rate("--error-rate", default=str(_default.error_rate), help="Share of 500s with a body of HTML.")
@_rate("--too-many-rate", default=str(_default.too_many_rate), help="Share of 429s.")
@_rate("--malformed-rate", default=str(_default.malformed_rate), help="Share of 200s with a bad body.")
@_rate("--reset-rate", default=str(_default.reset_rate), help="Share of resets in mid-body.")
@_rate("--hang-rate", default=str(_default.hang_rate), help="Share never answered.")
@_rate("--drip-rate", default=str(_default.drip_rate), help="Share answered one byte at a time.")
@_flag(
    "--seed",
    type=_whole_number(0, MAX_SEED),
    show_default="drawn",
    metavar="N",
    help="The same seed gives the same answers.",
)
@_flag(
    "--capacity",
    type=_whole_number(1, MAX_CAPACITY),
    show_default="unlimited",
    metavar="N",
    help="Requests served at once; others wait in one queue, and the latency counts from when they are served.",
)
@_flag(
    "--queue",
    type=_whole_number(0, MAX_QUEUE),
    show_default=f"{MAX_QUEUE}",
    metavar="N",
    help="With --capacity: requests that may wait; one more is answered 503.",
)
@_flag(
    "--notices-leaving",
    is_flag=True,
    help="With --capacity: drop the work of clients who have left. Without this it is done all the same.",
)
@_flag(
    "--dip",
    type=_disturbance("SHARE", 1),
    multiple=True,
    metavar="AT:FOR:SHARE",
    help="With --capacity: AT s after the start, for FOR s, only this share of it is left. Repeatable.",
)
@_flag(
    "--slow",
    type=_disturbance("FACTOR", MAX_SLOWNESS),
    multiple=True,
    metavar="AT:FOR:FACTOR",
    help="AT s after the start, for FOR s, latencies are multiplied by this. Repeatable.",
)
@_flag("--workers", type=_whole_number(1, MAX_WORKERS), default="1", metavar="N", help="Processes.")
@_hidden("--until-stdin-closes", help="End as soon as stdin is at its end.")
@click.option(
    "--descriptor", type=_whole_number(3, 65_535), hidden=True, help="Of a listening socket to serve on."
)
@_hidden("--check", allow_from_autoenv=False, help="Only look whether the flags and variables can be used.")
@_hidden("--log", help="Keep the newest requests for GET /log.")
@_hidden("--unique", help="Put a token into each success body.")
def simulate(
    *,
    host: str,
    port: int,
    seed: int | None,
    workers: int,
    until_stdin_closes: bool,
    descriptor: int | None,
    check: bool,
    log: bool,
    capacity: int | None,
    queue: int | None,
    notices_leaving: bool,
    dip: tuple[Disturbance, ...],
    slow: tuple[Disturbance, ...],
    **settings: Any,
) -> None:
    """Run the simulator: it answers GET /api/work as the reference upstream does, with faults."""
    if seed is None:
        seed = secrets.randbelow(MAX_SEED + 1)
    try:
        behaviour = Behaviour(seed=seed, **settings)
        limited = Capacity(
            workers=capacity, queue=queue, notices_leaving=notices_leaving, dips=dip, slow=slow
        )
    except (BehaviourError, CapacityError) as error:
        raise OneLineError(str(error)) from error
    if workers > 1:
        _check_several(workers, limited, log=log)
    if check:
        return
    clean = run(
        behaviour,
        _listeners(host, port, workers, descriptor),
        log=log,
        capacity=limited,
        until_stdin_closes=until_stdin_closes,
        announce=lambda url: click.echo(f"hedgerow simulate: answering on {url} (seed {seed})"),
    )
    if not clean:
        raise _WorkerLostError("a worker has ended unexpectedly, so the others were stopped")


def _check_several(workers: int, limited: Capacity, *, log: bool) -> None:
    """Raise OneLineError for what several processes cannot do."""
    if log:
        raise OneLineError(f"--log with --workers {workers} is not accepted: the log is kept by one worker")
    if not limited.is_unlimited:
        flag = "--slow" if limited.workers is None else "--capacity"
        raise OneLineError(
            f"{flag} with --workers {workers} is not accepted: one process has the queue and its clock"
        )


def _listeners(host: str, port: int, count: int, descriptor: int | None) -> list[socket]:
    """Return the sockets to serve on: opened here, or the one that was inherited. Raise OneLineError if that fails."""
    try:
        return listen(host, port, count=count) if descriptor is None else [inherit_listener(descriptor)]
    except UnicodeError:  # IDNA has no such name
        raise OneLineError(f"--host {host!r} is not the name of a host") from None
    except OSError as error:
        place = f"{host} port {port}" if descriptor is None else f"descriptor {descriptor}"
        raise _NotStartedError(f"cannot listen on {place}: {error.strerror}") from None
