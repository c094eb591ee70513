"""Flags, variables and a file to settings: a flag wins over a variable, that over the file, that over the default."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec

from hedgerow.configuration.file import Document, Given, Place, read_document, read_settings
from hedgerow.settings.effective_routing import effective_routing
from hedgerow.settings.errors import InvalidSetting, UnknownSetting, quoted
from hedgerow.settings.schema import Settings
from hedgerow.settings.setting import AUTO, Setting, all_settings, convert
from hedgerow.settings.upstream_url import EMBEDDED_TARGET

PREFIX: Final = "HEDGEROW_"
SIMULATE_PREFIX: Final = "HEDGEROW_SIMULATE_"
"""Of the simulator's variables, which the embedded one reads, too."""
TABLES: Final = ("routes", "upstreams")
"""Of the file, beside the settings: `configuration.routing` reads them."""
CONFIG_FLAG: Final = "--config"
CONFIG_VARIABLE: Final = "HEDGEROW_CONFIG"

_SERVICE_NAME: Final = (
    r"HEDGEROW_([A-Z0-9_]+_)?"
    r"(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT_VALUE: Final = r"(tcp|udp|sctp)://[0-9A-Fa-f.:\[\]]+:[0-9]+"


DEFAULT_ROUTE_SETTINGS: Final = {
    "upstream": "endpoints of [upstreams.NAME]",
    "hedge_after_ms": "hedge.after of each route",
    "hedges": "hedge.max_hedges of each route",
    "hedge_on_failure": "hedge.retry_on_failure of each route",
    "hedge_mode": "hedge.mode of each route",
    "hedge_sample": "hedge.sample of each route",
    "hedge_hold": "hedge.hold of each route",
    "hedge_ceiling": "hedge.ceiling of each route",
    "hedge_budget_percent": "hedge.budget of each route",
    "hedge_budget_min_per_second": "hedge.budget of each route",
    "default_timeout_ms": "timeout.default of each route",
    "max_timeout_ms": "timeout.max of each route",
    "losers": "losers of [upstreams.NAME]",
    "loser_grace_ms": "loser_grace of [upstreams.NAME]",
}
"""Settings that describe the default route, and what has their part where a file has routes."""


class Effective(msgspec.Struct, frozen=True):
    """The settings in effect, and where each came from."""

    settings: Settings
    sources: dict[str, str]
    """By the name of the field, for those that are not the default: `--port`, `HEDGEROW_PORT`, or a file and line.
    Endpoints of an upstream by `upstreams.NAME`."""
    ignored: list[str]
    """Variables that an orchestrator has set (`is_service_variable`)."""

    def source_of(self, name: str) -> str:
        """Return where a setting comes from, as messages name it."""
        found = self.sources.get(name)
        return f"{all_settings()[name].flag} (its default)" if found is None else found

    def describe(self) -> str:
        """Return all settings as lines of TOML, redacted, each with where it comes from."""
        hidden = DEFAULT_ROUTE_SETTINGS if self.settings.routes else {}
        lines = [self._line(setting) for setting in all_settings().values() if setting.name not in hidden]
        if self.settings.routes:
            from hedgerow.configuration.summary import describe_routing  # noqa: PLC0415 (for files that have routes)

            lines += [
                f"# {line}" for line in describe_routing(effective_routing(self.settings, EMBEDDED_TARGET))
            ]
        lines += [f"# {quoted(name)} is ignored: it is a Service's" for name in self.ignored]
        return "\n".join(lines)

    def _line(self, setting: Setting) -> str:
        value = getattr(self.settings, setting.name)
        source = self.sources.get(setting.name, "default")
        if value is None:
            value = AUTO
        elif setting.takes_auto and setting.name not in self.sources:
            source = f"default: {AUTO}"
        shown = quoted(value) if isinstance(value, str) else str(value)
        return f"{f'{setting.key} = {shown}':<40} # {source}"


def effective_settings(
    flags: Mapping[str, str],
    environment: Mapping[str, str],
    *,
    config: str | None,
    count_cpus: Callable[[], int],
    simulator_variables: Callable[[], Collection[str]],
) -> Effective:
    """Return the settings in effect; raises InvalidSetting.

    `flags` has the texts that were given by the names of their fields, `config` the path that `--config` gave.
    `count_cpus` is called for `workers = auto`, and `simulator_variables` if there are variables for the simulator.
    All values that were given are checked, also those that others win over.
    """
    document = _document(environment, config)
    values = _given_values(flags, environment, document, check_names=True)
    settings = all_settings()
    chosen = {name: convert(settings[name], *layer[name]) for layer in values for name in layer}
    sources = {name: layer[name].source for layer in values for name in layer}
    check_variable_names(environment, simulator_variables)
    if chosen.get("workers", AUTO) == AUTO:
        chosen["workers"] = count_cpus()
    if chosen.get("max_in_flight") == AUTO:
        chosen["max_in_flight"] = None
    ignored = sorted(name for name, value in environment.items() if is_service_variable(name, value))
    if document is not None and not document.values.keys().isdisjoint(TABLES):
        from hedgerow.configuration.routing import read_routing  # noqa: PLC0415 (30 ms, for files that have routes)

        routing = read_routing(document)
        chosen |= routing._asdict()
        if routing.routes:
            _check_no_default_route(values, document.place.at("routes", 0))
        for upstream in routing.upstreams:
            place = document.place.at("upstreams", upstream.name, "endpoints")
            sources[f"upstreams.{upstream.name}"] = place.source
    effective = Effective(Settings(**chosen), sources, ignored)
    _check_together(effective)
    return effective


def admin_address(
    flags: Mapping[str, str], environment: Mapping[str, str], *, config: str | None
) -> tuple[str, int]:
    """Return the host and port of the admin port, by the same sources; raises InvalidSetting.

    Whether a running gateway is healthy does not depend on its other settings, so they are not looked at.
    """
    values = _given_values(flags, environment, _document(environment, config), check_names=False)
    default = Settings()
    found: dict[str, Any] = {"admin_host": default.admin_host, "admin_port": default.admin_port}
    for layer in values:
        found |= {name: convert(all_settings()[name], *layer[name]) for name in found if name in layer}
    return found["admin_host"], found["admin_port"]


def check_variable_names(
    environment: Mapping[str, str], simulator_variables: Callable[[], Collection[str]]
) -> None:
    """Raise InvalidSetting for the first variable with the prefix that is no setting."""
    known = {setting.variable for setting in all_settings().values()} | {CONFIG_VARIABLE}
    prefixed = sorted(name for name in environment if name.upper().startswith(PREFIX))
    unknown = [
        name for name in prefixed if name not in known and not is_service_variable(name, environment[name])
    ]
    if any(name.startswith(SIMULATE_PREFIX) for name in unknown):
        known.update(simulator_variables())
    for name in unknown:
        if name not in known:
            raise UnknownSetting(name, "", sorted(known))


def is_service_variable(name: str, value: str) -> bool:
    """Return whether Kubernetes has set a variable for a Service named `hedgerow`, or `hedgerow-…`.

    It sets seven for each Service of the namespace, unless `enableServiceLinks` is false; and so did Docker's links.
    `HEDGEROW_PORT=tcp://10.0.0.1:80` is one: no value of a setting looks like it.
    https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
    """
    if not name.startswith(PREFIX):
        return False
    if re.fullmatch(_SERVICE_NAME, name):
        return True
    return name.endswith("_PORT") and re.fullmatch(_SERVICE_PORT_VALUE, value) is not None


def _document(environment: Mapping[str, str], config: str | None) -> Document | None:
    """Return the file that `config` names, or the variable; None if there is none."""
    if config is not None:
        return read_document(config, CONFIG_FLAG)
    path = environment.get(CONFIG_VARIABLE)
    return read_document(path, CONFIG_VARIABLE) if path is not None else None


def _given_values(
    flags: Mapping[str, str], environment: Mapping[str, str], document: Document | None, *, check_names: bool
) -> list[dict[str, Given]]:
    """Return what was given by file, variables and flags: what comes later wins."""
    settings = all_settings()
    file: dict[str, Given] = {}
    if document is not None:
        known = {setting.key: name for name, setting in settings.items()}
        file = read_settings(document, known, TABLES, ignores_unknown=not check_names)
    variables = {
        name: Given(environment[setting.variable], setting.variable)
        for name, setting in settings.items()
        if setting.variable in environment
        and not is_service_variable(setting.variable, environment[setting.variable])
    }
    return [file, variables, {name: Given(text, settings[name].flag) for name, text in flags.items()}]


def _check_no_default_route(values: list[dict[str, Given]], first_route: Place) -> None:
    """Raise InvalidSetting for a setting of the default route beside routes, of which it would say nothing."""
    for layer in reversed(values):
        for name, replacement in DEFAULT_ROUTE_SETTINGS.items():
            if name in layer:
                given = layer[name]
                accepted = (
                    f"{replacement}: there is no default route where the file has routes ({first_route.line})"
                )
                raise InvalidSetting(given.source, given.value, accepted)


def _check_together(effective: Effective) -> None:
    """Raise InvalidSetting for values that are each possible, but not together."""
    settings, source_of = effective.settings, effective.source_of
    if settings.default_timeout_ms > settings.max_timeout_ms:
        accepted = f"at most {settings.max_timeout_ms}, by {source_of('max_timeout_ms')}"
        raise InvalidSetting(source_of("default_timeout_ms"), settings.default_timeout_ms, accepted)
