"""`hedgerow plan`: its options; one source, one report."""

import sys
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import click

from hedgerow.plan_command import report
from hedgerow.plan_command.gateway_source import read_gateway
from hedgerow.plan_command.log_source import read_log
from hedgerow.plan_command.plot import svg
from hedgerow.plan_command.probe_source import MAX_RATE, MAX_REQUESTS, Client, probe
from hedgerow.plan_command.source import Source, SourceError
from hedgerow.planning.advice import advise
from hedgerow.planning.aim import ACCEPTED_AIM, ACCEPTED_SHARE, Aim, parse_aim, parse_share
from hedgerow.planning.what_if import WhatIf


class Wanted(NamedTuple):
    """The command line of `hedgerow plan`."""

    log: str | None
    gateway: str | None
    upstream: str | None
    log_format: str
    latency_unit: str | None
    latency_field: str | None
    window: str
    route: str | None
    requests: int
    rate: float
    yes: bool
    aim: str | None
    max_extra: str | None
    as_json: bool
    svg: str | None


@click.command()
@click.argument("log", required=False, metavar="[LOG]")
@click.option("--from", "gateway", metavar="URL", help="A gateway's admin port, as in http://127.0.0.1:8081.")
@click.option(
    "--probe", "upstream", metavar="URL", help="An upstream, which is asked itself, after a question."
)
@click.option(
    "--format",
    "log_format",
    type=click.Choice(["auto", "json", "csv", "nginx", "envoy", "haproxy"]),
    default="auto",
    show_default=True,
    help="Of LOG.",
)
@click.option(
    "--latency-unit", type=click.Choice(["s", "ms", "us"]), help="Of LOG's latencies, if no name says it."
)
@click.option("--latency-field", metavar="NAME", help="Of LOG's latencies, in JSON or CSV.")
@click.option(
    "--window",
    type=click.Choice(["minute", "hour", "day"]),
    default="hour",
    show_default=True,
    help="What --from looks back on.",
)
@click.option("--route", metavar="NAME", help="The route of --from; not needed where there is one.")
@click.option("--requests", type=int, default=500, show_default=True, help="That --probe sends.")
@click.option(
    "--rate", type=float, default=5.0, show_default=True, help="Requests a second that --probe sends."
)
@click.option("--yes", is_flag=True, help="Let --probe send without a question.")
@click.option("--aim", metavar="TEXT", help="What to reach at the least load, as in '99% within 500ms'.")
@click.option(
    "--max-extra", metavar="SHARE", help="Extra requests that the upstream can take.  [default: 10%]"
)
@click.option("--json", "as_json", is_flag=True, help="Print data.")
@click.option("--svg", metavar="FILE", help="Write a plot.")
def plan(**given: Any) -> None:
    """Show whether hedging would help an upstream, with which delay, and what it would cost.

    From LOG (JSON lines or CSV with latency and status, or an access log of nginx, Envoy or HAProxy; - is standard
    input), from a running gateway, or by asking the upstream.
    """
    run(Wanted(**given))


def run(wanted: Wanted) -> None:
    """Print the report, and write the plot if it is wanted; raises click.UsageError."""
    aim = _aim(wanted)
    try:
        source = _source(wanted)
    except SourceError as error:
        raise click.UsageError(str(error)) from None
    what_if = WhatIf.of(source.observations)
    advice = advise(what_if, aim, source.symptoms, source.current)
    if wanted.svg is not None:
        try:
            Path(wanted.svg).write_text(svg(what_if, advice, source.current), encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"--svg {wanted.svg}: it cannot be written: {error.strerror}") from None
    if wanted.as_json:
        click.echo(report.as_json(source, what_if, advice), nl=False)
    else:
        click.echo(report.text(source, what_if, advice), nl=False)


def _aim(wanted: Wanted) -> Aim:
    reached: tuple[float, float] | None = None
    max_extra = None
    if wanted.aim is not None:
        reached = parse_aim(wanted.aim)
        if reached is None:
            raise click.UsageError(f"--aim {wanted.aim!r} is not accepted; {ACCEPTED_AIM}")
    if wanted.max_extra is not None:
        max_extra = parse_share(wanted.max_extra)
        if max_extra is None:
            raise click.UsageError(f"--max-extra {wanted.max_extra!r} is not accepted; {ACCEPTED_SHARE}")
    share, within_s = reached if reached is not None else (None, None)
    return Aim(share, within_s, max_extra)


def _source(wanted: Wanted) -> Source:
    given = [source for source in (wanted.log, wanted.gateway, wanted.upstream) if source is not None]
    if len(given) != 1:
        raise click.UsageError("give one source: a log FILE, --from a gateway's admin port, or --probe URL")
    if wanted.route is not None and wanted.gateway is None:
        raise click.UsageError(f"--route {wanted.route!r} is a route of a gateway: give --from, too")
    if wanted.log is not None:
        return read_log(
            wanted.log, name=wanted.log_format, unit=wanted.latency_unit, field=wanted.latency_field
        )
    if wanted.gateway is not None:
        return read_gateway(wanted.gateway, wanted.window, wanted.route)
    return _probe(given[0], wanted)


def _probe(url: str, wanted: Wanted) -> Source:
    if not 1 <= wanted.requests <= MAX_REQUESTS:
        raise click.UsageError(
            f"--requests {wanted.requests} is not accepted; a whole number from 1 to {MAX_REQUESTS}"
        )
    if not 0.01 <= wanted.rate <= MAX_RATE:  # also for what is no number
        raise click.UsageError(f"--rate {wanted.rate:g} is not accepted; a number from 0.01 to {MAX_RATE:g}")
    question = (
        f"Send {wanted.requests} GET requests to {url}, {wanted.rate:g} a second, for "
        f"{wanted.requests / wanted.rate:.0f} s?"
    )
    if not wanted.yes:
        if not sys.stdin.isatty():
            raise click.UsageError(
                f"{question} Nothing was sent: standard input is no terminal to answer on; pass --yes"
            )
        click.confirm(question, abort=True, err=True)
    with (
        closing(Client(url)) as client,
        click.progressbar(length=wanted.requests, label="asking", file=sys.stderr) as bar,
    ):
        return probe(url, wanted.requests, wanted.rate, client.ask, on_answer=lambda: bar.update(1))
