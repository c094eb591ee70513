"""The command line: flags and environment variables to settings, settings to a running gateway."""

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import click

from hedgerow import __version__
from hedgerow.core.hedging import EarlyFailure
from hedgerow.cpus import usable_cpus
from hedgerow.settings import AccessLog, BadSetting, DescriptorBudget, LogFormat, LoserPolicy, Settings

Command = TypeVar("Command", bound=Callable[..., Any])

SIMULATE = "simulate"
EXIT_UNHEALTHY = 1
EXIT_USAGE = 2
EXIT_CANNOT_START = 3
HEALTHCHECK_TIMEOUT_S = 2.0
"""The operations port answers in milliseconds; container engines give up on a check after a few seconds."""


def claim_standard_descriptors() -> None:
    """Open /dev/null as 0, 1 and 2 where we were started without them.

    The next thing opened would get the number, and log lines would be written into it: into the scoreboard that the
    workers share, for instance.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the least number that is free
            os.set_inheritable(descriptor, True)


class OneLineErrors(click.Group):
    """Says what is wrong in one line, and ends with the exit code of the contract."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), SIMULATE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == SIMULATE:
            from hedgerow_simulator.cli import simulate  # noqa: PLC0415 (40 ms of each start of a gateway)

            return simulate
        return super().get_command(ctx, cmd_name)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        claim_standard_descriptors()
        try:
            return super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.ctx.get_help(), err=True)
            sys.exit(EXIT_USAGE)
        except click.ClickException as error:
            click.echo(f"hedgerow: {' '.join(error.format_message().split())}", err=True)
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(1)


def _workers(_: click.Context, __: click.Parameter, value: str) -> int:
    if value == "auto":
        return usable_cpus()
    if value.isascii() and value.isdigit() and 1 <= int(value[:4]) <= 256:
        return int(value)
    raise click.BadParameter(f"{value!r} is not accepted; give a number from 1 to 256, or auto")


def _max_in_flight(_: click.Context, __: click.Parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if value.isascii() and value.isdigit() and 1 <= int(value[:9]) <= 1_000_000:
        return int(value)
    raise click.BadParameter(f"{value!r} is not accepted; give a number from 1 to 1000000, or auto")


def _trace_sample(_: click.Context, __: click.Parameter, value: object) -> float:
    try:
        share = float(str(value))
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise click.BadParameter(f"{value!r} is not accepted; give a share from 0 to 1, like 0.01")
    return share


def _check_tracing(share: float) -> None:
    """Raise BadSetting if a worker could not record traces."""
    try:
        # It takes 0.15 s, and may not be there; and the SDK looks at some of its variables when it is loaded.
        from hedgerow.telemetry.tracing import check  # noqa: PLC0415

        check()
    except ImportError as error:
        accepted = f"0, or install what traces need: pip install 'hedgerow[otel]' ({error})"
        raise BadSetting("--trace-sample", share, accepted) from None
    except ValueError as error:
        raise BadSetting("--trace-sample", share, f"OTEL_* variables that can be used ({error})") from None


def _settings_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Take a file's values as defaults, so that a flag and an environment variable win over them."""
    if path is None:
        return
    import tomllib  # noqa: PLC0415 (2 % of each start, for what few use)

    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.BadParameter(f"{str(path)!r} cannot be read as TOML ({error})") from None
    known = {parameter.name for parameter in context.command.params} - {"config"}
    given = {name.replace("-", "_"): value for name, value in values.items()}
    unknown = sorted(set(given) - known)
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} in {str(path)!r} is no setting; the flags' names are")
    odd = [name for name, value in values.items() if not isinstance(value, str | int | float)]
    if odd:
        raise click.BadParameter(f"{odd[0]!r} in {str(path)!r} is neither a number nor a string")
    context.default_map = {**(context.default_map or {}), **given}


def _print_version(context: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if is_wanted:
        from importlib.util import find_spec  # noqa: PLC0415 (few ask for it)

        gateway = find_spec("hedgerow.gateway")
        is_compiled = gateway is not None and str(gateway.origin).endswith(".so")
        click.echo(f"hedgerow {__version__} ({'compiled' if is_compiled else 'plain'})")
        context.exit()


def _choice(of: type[StrEnum]) -> click.Choice[str]:
    return click.Choice([str(member) for member in of])


def _flag(
    name: str, default: object, text: str, kind: Any = None, **more: Any
) -> Callable[[Command], Command]:
    """Make a flag of `serve` with its environment variable: `--drain-ms` is HEDGEROW_DRAIN_MS."""
    variable = "HEDGEROW" + name.removeprefix("-").replace("-", "_").upper()
    return click.option(
        name, default=default, type=kind, envvar=variable, show_envvar=True, help=text, **more
    )


class _Whole(click.IntRange):
    """A range whose error says what is accepted, also for what is no number at all."""

    def __init__(self, least: int, most: int) -> None:
        super().__init__(least, most)
        self.name = f"whole number from {least} to {most}"


_PORT = _Whole(0, 65535)
_SPAN_MS = _Whole(1, 86_400_000)
_SPAN_MS_OR_NONE = _Whole(0, 86_400_000)
_LEVELS = click.Choice(["debug", "info", "warning", "error"])


@click.group(cls=OneLineErrors, context_settings={"max_content_width": 110})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and whether the hot path is compiled, and exit.",
)
def main() -> None:
    """A hedging HTTP gateway: asks a slow, unreliable service again in time, and is never late itself."""


@main.command(context_settings={"show_default": True})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    envvar="HEDGEROW_CONFIG",
    show_envvar=True,
    expose_value=False,
    callback=_settings_file,
    help="A TOML file of settings by their flags' names; flags and environment win.",
)
@_flag("--host", "127.0.0.1", "Address of the main port.")
@_flag("--port", 8080, "The main port; 0 takes a free one.", _PORT)
@_flag("--admin-host", "127.0.0.1", "Address of the operations port.")
@_flag("--admin-port", 8081, "The operations port.", _PORT)
@_flag("--upstream", "embedded", "A URL (http or https), or 'embedded': the bundled testing server.")
@_flag(
    "--workers", "auto", "Processes; auto: CPUs that we may use, by affinity and quota.", callback=_workers
)
@_flag("--hedge-after-ms", 300, "When to ask again.", _SPAN_MS_OR_NONE)
@_flag("--hedges", 2, "How many more to ask; 0 turns hedging off.", _Whole(0, 16))
@_flag(
    "--hedge-on-failure",
    "wait",
    "A first attempt that fails early: wait for the mark, or not.",
    _choice(EarlyFailure),
)
@_flag("--default-timeout-ms", 10_000, "For requests without a timeout.", _SPAN_MS)
@_flag("--max-timeout-ms", 60_000, "Longer timeouts are clamped to this.", _SPAN_MS)
@_flag(
    "--losers",
    "drain",
    "Read losers to their end, to use their connections again, or cut them.",
    _choice(LoserPolicy),
)
@_flag("--loser-grace-ms", 1_000, "How long a loser may run on.", _SPAN_MS_OR_NONE)
@_flag(
    "--max-in-flight", "auto", "Requests at once, per worker; auto: by open files.", callback=_max_in_flight
)
@_flag(
    "--shedding",
    "on",
    "Limit the rate of admission when the CPU is short.",
    click.Choice(["on", "off"]),
)
@_flag("--drain-ms", 30_000, "How long a stop may take.", _SPAN_MS_OR_NONE)
@_flag("--log-format", "auto", "auto: console on a terminal, else json.", _choice(LogFormat))
@_flag("--log-level", "info", "What is logged at the least.", _LEVELS)
@_flag("--access-log", "errors", "Which requests get a line.", _choice(AccessLog))
@_flag(
    "--trace-sample",
    "0",
    "Share of requests traced, 0 to 1; more than 0 needs the extra hedgerow[otel].",
    callback=_trace_sample,
)
def serve(**values: Any) -> None:
    """Serve GET /api/smart?timeout=MS before the upstream."""
    from hedgerow.processes.process_tuning import raise_descriptor_limit  # noqa: PLC0415
    from hedgerow.processes.supervisor import run  # noqa: PLC0415 (--help need not load it)
    from hedgerow.processes.worker_manager import StartupError  # noqa: PLC0415

    for name, kind in (("losers", LoserPolicy), ("log_format", LogFormat), ("access_log", AccessLog)):
        values[name] = kind(values[name])
    settings = Settings(**values)
    try:
        settings.check()
        if settings.trace_sample:
            _check_tracing(settings.trace_sample)
        DescriptorBudget.of(raise_descriptor_limit(), settings.hedges, settings.max_in_flight)
        run(settings)
    except BadSetting as error:
        raise click.UsageError(str(error)) from None
    except StartupError as error:
        click.echo(f"hedgerow: {error}", err=True)
        sys.exit(EXIT_CANNOT_START)


@main.command(context_settings={"show_default": True})
@_flag("--admin-host", "127.0.0.1", "Address of the operations port.")
@_flag("--admin-port", 8081, "The operations port.", _PORT)
@click.option(
    "--live", is_flag=True, help="Ask whether it is alive (/livez), not whether it is ready (/readyz)."
)
def healthcheck(admin_host: str, admin_port: int, live: bool) -> None:
    """Ask a running gateway how it is; exit code 0: well, 1: not."""
    import http.client  # noqa: PLC0415 (20 ms of each start)

    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(admin_host, admin_host)  # noqa: S104 (nothing binds here)
    connection = http.client.HTTPConnection(host, admin_port, timeout=HEALTHCHECK_TIMEOUT_S)
    try:
        connection.request("GET", "/livez" if live else "/readyz")
        answer = connection.getresponse()
        status, said = answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        status, said = 0, f"no answer from {host}:{admin_port} ({error})"
    finally:
        connection.close()
    click.echo(said)
    sys.exit(0 if status == http.HTTPStatus.OK else EXIT_UNHEALTHY)
