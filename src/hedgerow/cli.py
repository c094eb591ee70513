"""The command line: commands and flags to settings, settings to a running gateway, failures to exit codes."""

import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from hedgerow import __version__
from hedgerow.configuration.sources import (
    CONFIG_VARIABLE,
    PREFIX,
    SIMULATE_PREFIX,
    admin_address,
    check_variable_names,
    is_service_variable,
)
from hedgerow.settings import InvalidSetting, SettingsError
from hedgerow.settings.redaction import redacted_text, redacted_url
from hedgerow.settings.setting import Setting, all_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

Command = TypeVar("Command", bound=Callable[..., Any])

PLAN: Final = "plan"
SIMULATE: Final = "simulate"
EXIT_UNHEALTHY: Final = 1
EXIT_NO_OUTPUT: Final = 1
EXIT_USAGE: Final = 2
EXIT_CANNOT_START: Final = 3
MAX_MESSAGE_CHARACTERS: Final = 1_000
"""Longer than the gateway's own messages; click's repeat arguments of any length."""


def ensure_standard_descriptors() -> None:
    """Open /dev/null as 0, 1 and 2 if the process was started without them.

    The next thing opened would get the number, and log lines would be written into it: into the connection counts
    that the workers share, for instance.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
            os.set_inheritable(descriptor, True)
    if sys.stdin is None:  # the interpreter has found none
        sys.stdin = open(0)  # noqa: SIM115 (it stays open, as the interpreter's own)


class OneLineErrorGroup(click.Group):
    """Prints errors as one line, and ends with the exit code of the contract."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), PLAN, SIMULATE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == SIMULATE:
            from hedgerow.processes.configuration_sources import simulator_variables  # noqa: PLC0415
            from hedgerow_simulator.cli import simulate  # noqa: PLC0415 (40 ms of each start of a gateway)

            with _one_line():
                check_variable_names(os.environ, simulator_variables)
            _forget_variables(lambda name: is_service_variable(name, os.environ[name]))
            return simulate
        if cmd_name == PLAN:
            from hedgerow.plan_command.command import plan  # noqa: PLC0415 (no other command needs it)

            return plan
        return super().get_command(ctx, cmd_name)

    def main(self, args: Sequence[str] | None = None, *more: Any, **kwargs: Any) -> Any:
        ensure_standard_descriptors()
        if isinstance(sys.stdout, io.TextIOWrapper):  # characters that its encoding lacks are escaped
            sys.stdout.reconfigure(errors="backslashreplace")
        arguments = sys.argv[1:] if args is None else list(args)
        try:
            return super().main(arguments, *more, **{**kwargs, "standalone_mode": False})
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.ctx.get_help(), err=True)
            sys.exit(EXIT_USAGE)
        except click.ClickException as error:
            click.echo(f"hedgerow: {_line(error.format_message(), arguments)}", err=True)
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(1)
        except OSError as error:
            if error.errno != errno.ENOSPC:  # click handles an output without a reader
                raise
            click.echo(f"hedgerow: the output cannot be written: {error.strerror}", err=True)
            os._exit(EXIT_NO_OUTPUT)  # the interpreter would try again to write what is left


def _line(message: str, arguments: Sequence[str]) -> str:
    """Return a message as one line of bounded length, without the secrets that click repeats of the command line."""
    for argument in arguments:
        message = message.replace(argument, redacted_url(argument))
    line = " ".join(redacted_text(message).split())
    line = "".join(one if one.isprintable() else repr(one)[1:-1] for one in line)
    return line if len(line) <= MAX_MESSAGE_CHARACTERS else f"{line[:MAX_MESSAGE_CHARACTERS]}…"


@contextmanager
def _one_line() -> "Iterator[None]":
    try:
        yield
    except SettingsError as error:
        raise click.UsageError(str(error)) from None


def _print_version(context: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if is_wanted:
        from importlib.util import find_spec  # noqa: PLC0415 (rarely used)

        gateway = find_spec("hedgerow.gateway")
        is_compiled = gateway is not None and str(gateway.origin).endswith(".so")
        click.echo(f"hedgerow {__version__} ({'compiled' if is_compiled else 'plain'})")
        context.exit()


def _flags(*names: str) -> Callable[[Command], Command]:
    """Give a command `--config` and the flags of some settings, or of all. Their values are texts, or None."""

    def decorate(command: Command) -> Command:
        for name in reversed(names or tuple(all_settings())):
            command = _flag(all_settings()[name])(command)
        text = f"A TOML file of settings by their flags' names; flags and variables win.  [{CONFIG_VARIABLE}]"
        return click.option("--config", metavar="FILE", help=text)(command)

    return decorate


def _flag(setting: Setting) -> Callable[[Command], Command]:
    meaning = setting.description.replace("`", "'")
    text = f"{meaning[0].upper()}{meaning[1:]}: {setting.accepted}.  [{setting.variable}; default: {setting.default}]"
    metavar = "N" if setting.is_number else "TEXT"
    return click.option(setting.flag, metavar=metavar, help=text)


def _forget_variables(is_unwanted: Callable[[str], bool]) -> None:
    """Remove variables from the environment of child processes."""
    for name in [name for name in os.environ if is_unwanted(name)]:
        del os.environ[name]


@click.group(cls=OneLineErrorGroup, context_settings={"max_content_width": 110})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and whether the hot path is compiled, and exit.",
)
def main() -> None:
    """Retry a slow, unreliable HTTP upstream in parallel, and answer before the deadline."""


@main.command()
@_flags()
def serve(config: str | None, **flags: str | None) -> None:
    """Serve GET /api/smart?timeout=MS in front of the upstream, or the routes of a file."""
    from hedgerow.processes.configuration_sources import ConfigurationSources  # noqa: PLC0415 (--help goes without)

    sources = ConfigurationSources(config, flags)
    with _one_line():
        effective = sources.read()
    # Workers get their settings from the supervisor. Secrets are not in their environment, which others can read.
    _forget_variables(lambda name: name.startswith(PREFIX) and not name.startswith(SIMULATE_PREFIX))
    _forget_variables(lambda name: is_service_variable(name, os.environ[name]))
    from hedgerow.processes.supervisor import run  # noqa: PLC0415 (--help need not load it)
    from hedgerow.processes.worker_manager import StartupError  # noqa: PLC0415

    try:
        with _one_line():
            run(effective.settings, sources.read_again if sources.has_file else None)
    except StartupError as error:
        click.echo(f"hedgerow: {error}", err=True)
        sys.exit(EXIT_CANNOT_START)


@main.command()
@click.argument("file", required=False)
@_flags()
def check(file: str | None, config: str | None, **flags: str | None) -> None:
    """Show the settings that `serve` would have, and where each comes from; start nothing.

    FILE is a settings file, as for --config. Exit code 0: `serve` would accept them; 2: it would not.
    """
    if file is not None and config is not None:
        raise click.UsageError("FILE and --config are two settings files; give one")
    from hedgerow.processes.configuration_sources import ConfigurationSources  # noqa: PLC0415

    with _one_line():
        effective = ConfigurationSources(file if file is not None else config, flags).read()
    click.echo(effective.describe())


@main.command()
@_flags("admin_host", "admin_port")
@click.option("--live", is_flag=True, help="Check liveness (/livez) instead of readiness (/readyz).")
def healthcheck(config: str | None, live: bool, **flags: str | None) -> None:
    """Check a running gateway; exit code 0: ready, 1: not ready."""
    from hedgerow.healthcheck import probe  # noqa: PLC0415 (20 ms of each start)

    with _one_line():
        given = {name: text for name, text in flags.items() if text is not None}
        host, port = admin_address(given, os.environ, config=config)
        if port == 0:
            raise InvalidSetting("--admin-port", port, "the port that the gateway has taken")
    is_well, text = probe(host, port, "/livez" if live else "/readyz")
    click.echo(text)
    sys.exit(0 if is_well else EXIT_UNHEALTHY)
