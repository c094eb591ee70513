"""The command line: flags and environment variables to settings, settings to a running gateway."""

import os
import sys
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Any

import click

from hedgerow import __version__
from hedgerow.hedging import OnFailure
from hedgerow.settings import AccessLog, BadSetting, LogFormat, Losers, Settings, SocketBudget
from hedgerow_simulator.cli import simulate

EXIT_USAGE = 2
EXIT_CANNOT_START = 3


class OneLineErrors(click.Group):
    """Says what is wrong in one line, and ends with the exit code of the contract."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.ctx.get_help() if error.ctx else "", err=True)
            sys.exit(EXIT_USAGE)
        except click.ClickException as error:
            click.echo(f"hedgerow: {' '.join(error.format_message().split())}", err=True)
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(1)


def _workers(_: click.Context, __: click.Parameter, value: str) -> int:
    if value == "auto":
        return len(os.sched_getaffinity(0))
    if value.isascii() and value.isdigit() and 1 <= int(value[:4]) <= 256:
        return int(value)
    raise click.BadParameter(f"{value!r} is not accepted; give a number from 1 to 256, or auto")


def _max_in_flight(_: click.Context, __: click.Parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if value.isascii() and value.isdigit() and 1 <= int(value[:9]) <= 1_000_000:
        return int(value)
    raise click.BadParameter(f"{value!r} is not accepted; give a number from 1 to 1000000, or auto")


def _settings_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Take a file's values as defaults, so that a flag and an environment variable win over them."""
    if path is None:
        return
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.BadParameter(f"{str(path)!r} cannot be read as TOML ({error})") from None
    known = {parameter.name for parameter in context.command.params} - {"config"}
    given = {name.replace("-", "_"): value for name, value in values.items()}
    unknown = sorted(set(given) - known)
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} in {str(path)!r} is no setting; the flags' names are")
    context.default_map = {**(context.default_map or {}), **given}


def _choice(of: type[StrEnum]) -> click.Choice[str]:
    return click.Choice([str(member) for member in of])


_PORT = click.IntRange(0, 65535)
_MILLISECONDS = click.IntRange(1, 86_400_000)


@click.group(cls=OneLineErrors, context_settings={"max_content_width": 110, "auto_envvar_prefix": "HEDGEROW"})
@click.version_option(__version__, prog_name="hedgerow")
def main() -> None:
    """A hedging HTTP gateway: asks a slow, unreliable service again in time, and is never late itself."""


@main.command(context_settings={"auto_envvar_prefix": "HEDGEROW", "show_default": True})
@click.option("--config", type=click.Path(path_type=Path), is_eager=True, expose_value=False, callback=_settings_file, help="A TOML file of settings by their flags' names; flags and environment win.")  # fmt: skip
@click.option("--host", default="127.0.0.1", envvar="HEDGEROW_HOST", help="Address of the main port.")
@click.option(
    "--port", default=8080, type=_PORT, envvar="HEDGEROW_PORT", help="The main port; 0 takes a free one."
)
@click.option(
    "--admin-host", default="127.0.0.1", envvar="HEDGEROW_ADMIN_HOST", help="Address of the operations port."
)
@click.option(
    "--admin-port", default=8081, type=_PORT, envvar="HEDGEROW_ADMIN_PORT", help="The operations port."
)
@click.option("--upstream", default="embedded", envvar="HEDGEROW_UPSTREAM", help="A URL (http or https), or 'embedded': the bundled testing server.")  # fmt: skip
@click.option("--workers", default="auto", callback=_workers, envvar="HEDGEROW_WORKERS", help="Processes; auto: CPUs we may use.")  # fmt: skip
@click.option("--hedge-after-ms", default=300, type=click.IntRange(0, 86_400_000), envvar="HEDGEROW_HEDGE_AFTER_MS", help="When to ask again.")  # fmt: skip
@click.option("--hedges", default=2, type=click.IntRange(0, 16), envvar="HEDGEROW_HEDGES", help="How many more to ask; 0 turns hedging off.")  # fmt: skip
@click.option("--hedge-on-failure", default="wait", type=_choice(OnFailure), envvar="HEDGEROW_HEDGE_ON_FAILURE", help="When the first attempt fails early: wait for the mark, or hedge at once.")  # fmt: skip
@click.option("--default-timeout-ms", default=10_000, type=_MILLISECONDS, envvar="HEDGEROW_DEFAULT_TIMEOUT_MS", help="For requests without a timeout.")  # fmt: skip
@click.option("--max-timeout-ms", default=60_000, type=_MILLISECONDS, envvar="HEDGEROW_MAX_TIMEOUT_MS", help="Longer timeouts are clamped to this.")  # fmt: skip
@click.option("--losers", default="drain", type=_choice(Losers), envvar="HEDGEROW_LOSERS", help="Read losers to their end, so that their connections can be used again, or cut them off.")  # fmt: skip
@click.option("--loser-grace-ms", default=1_000, type=click.IntRange(0, 86_400_000), envvar="HEDGEROW_LOSER_GRACE_MS", help="How long a loser may run on.")  # fmt: skip
@click.option("--max-in-flight", default="auto", callback=_max_in_flight, envvar="HEDGEROW_MAX_IN_FLIGHT", help="Requests at once, per worker; auto: from the limit of open files.")  # fmt: skip
@click.option("--drain-ms", default=30_000, type=click.IntRange(0, 86_400_000), envvar="HEDGEROW_DRAIN_MS", help="How long a stop may take.")  # fmt: skip
@click.option("--log-format", default="auto", type=_choice(LogFormat), envvar="HEDGEROW_LOG_FORMAT", help="auto: console on a terminal, else json.")  # fmt: skip
@click.option("--log-level", default="info", type=click.Choice(["debug", "info", "warning", "error"]), envvar="HEDGEROW_LOG_LEVEL")  # fmt: skip
@click.option("--access-log", default="errors", type=_choice(AccessLog), envvar="HEDGEROW_ACCESS_LOG", help="Which requests get a line.")  # fmt: skip
@click.option("--trace-sample", default=0.0, type=click.FloatRange(0, 0), envvar="HEDGEROW_TRACE_SAMPLE", help="Share of requests traced; not in this version: only 0 is accepted.")  # fmt: skip
def serve(**values: Any) -> None:
    """Serve GET /api/smart?timeout=MS before the upstream."""
    from hedgerow.supervisor import CannotStart, run  # noqa: PLC0415 (--help need not load it)
    from hedgerow.worker import raise_descriptor_limit  # noqa: PLC0415

    for name, kind in (("losers", Losers), ("log_format", LogFormat), ("access_log", AccessLog)):
        values[name] = kind(values[name])
    settings = Settings(**values)
    try:
        settings.check()
        SocketBudget.of(raise_descriptor_limit(), settings.hedges, settings.max_in_flight)
        run(settings)
    except BadSetting as error:
        raise click.UsageError(str(error)) from None
    except CannotStart as error:
        click.echo(f"hedgerow: {error}", err=True)
        sys.exit(EXIT_CANNOT_START)


main.add_command(simulate)
