"""The command line: commands and flags to settings, settings to a running gateway, failures to exit codes."""

import errno
import io
import os
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

from hedgerow import __version__
from hedgerow.configuration.sources import (
    CONFIG_VARIABLE,
    PREFIX,
    SIMULATE_PREFIX,
    Effective,
    admin_address,
    check_variable_names,
    effective_settings,
    is_service_variable,
)
from hedgerow.processes.cpu_count import usable_cpus
from hedgerow.settings import DescriptorBudget, InvalidSetting, Settings, SettingsError
from hedgerow.settings.effective_routing import max_hedges
from hedgerow.settings.redaction import redacted_text, redacted_url
from hedgerow.settings.schema import Setting, all_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hedgerow.configuration.reload import Reloaded
    from hedgerow.configuration.startup_checks import Addresses

Command = TypeVar("Command", bound=Callable[..., Any])

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


class OneLineErrorGroup(click.Group):
    """Prints errors as one line, and ends with the exit code of the contract."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), SIMULATE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == SIMULATE:
            from hedgerow_simulator.cli import simulate  # noqa: PLC0415 (40 ms of each start of a gateway)

            with _one_line():
                check_variable_names(os.environ, _simulator_variables)
            _forget_variables(lambda name: is_service_variable(name, os.environ[name]))
            return simulate
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


def _simulator_variables() -> Collection[str]:
    from hedgerow_simulator.cli import simulate  # noqa: PLC0415 (40 ms, and rarely used)

    return [f"{SIMULATE_PREFIX}{str(parameter.name).upper()}" for parameter in simulate.params]


def _forget_variables(is_unwanted: Callable[[str], bool]) -> None:
    """Remove variables from the environment of child processes."""
    for name in [name for name in os.environ if is_unwanted(name)]:
        del os.environ[name]


class _Sources:
    """All that settings come from: what was given at the start, and files that may change."""

    def __init__(self, config: str | None, flags: dict[str, str | None]) -> None:
        self._config = config
        self._flags = {name: text for name, text in flags.items() if text is not None}
        self._environment = dict(os.environ)
        self._addresses: Addresses | None = None

    @property
    def has_file(self) -> bool:
        """A settings file was named."""
        return self._config is not None or CONFIG_VARIABLE in self._environment

    def read(self) -> Effective:
        """Return the settings in effect, checked as far as they can be without starting anything.

        Raises SettingsError. For the start: it looks up hosts, which may block.
        """
        from hedgerow.configuration.startup_checks import look_up_hosts  # noqa: PLC0415 (--help need not load it)

        effective = self._read(usable_cpus)
        self._addresses = look_up_hosts(effective.settings, effective.source_of)
        self._check(effective)
        return effective

    def read_again(self, running: Settings) -> "Reloaded":
        """Return what a running gateway can have of the settings as they are now; raises SettingsError."""
        from hedgerow.configuration.reload import applicable  # noqa: PLC0415 (few starts are followed by one)

        effective = self._read(lambda: running.workers)
        reloaded = applicable(running, effective)
        self._check(msgspec.structs.replace(effective, settings=reloaded.settings))
        return reloaded

    def _read(self, count_cpus: Callable[[], int]) -> Effective:
        return effective_settings(
            self._flags,
            self._environment,
            config=self._config,
            count_cpus=count_cpus,
            simulator_variables=_simulator_variables,
        )

    def _check(self, effective: Effective) -> None:
        from hedgerow.configuration import startup_checks  # noqa: PLC0415
        from hedgerow.processes.process_tuning import raise_descriptor_limit  # noqa: PLC0415

        settings, source_of = effective.settings, effective.source_of
        if self._addresses is not None:
            startup_checks.check_addresses(settings, source_of, self._addresses)
        startup_checks.check_named_files(
            self._environment,
            is_tls=startup_checks.is_tls(settings),
            is_traced=settings.trace_sample > 0,
        )
        if settings.trace_sample:
            startup_checks.check_tracing(settings.trace_sample, source_of("trace_sample"))
        DescriptorBudget.of(
            raise_descriptor_limit(),
            max_hedges(settings),
            settings.max_in_flight,
            setting=source_of("max_in_flight"),
        )


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
    sources = _Sources(config, flags)
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
    with _one_line():
        effective = _Sources(file if file is not None else config, flags).read()
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


@main.command()
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
    from hedgerow.plan_command.command import Wanted, run  # noqa: PLC0415 (no other command needs it)

    run(Wanted(**given))
