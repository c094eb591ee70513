"""What `hedgerow serve` makes of the variables that a deployment sets."""

from collections.abc import Mapping

import pytest
from click.testing import CliRunner

from hedgerow.cli import main, serve
from hedgerow.processes import supervisor
from hedgerow.settings import Settings

VARIABLES = {str(parameter.envvar) for parameter in serve.params if getattr(parameter, "envvar", None)}


def settings_of(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Tell the settings that would be served; a variable that is none, or a value not accepted, fails the test."""
    ours = {name: value for name, value in environment.items() if name.startswith("HEDGEROW_")}
    assert set(ours) <= VARIABLES
    served: list[Settings] = []
    monkeypatch.setattr(supervisor, "run", served.append)
    result = CliRunner().invoke(main, ["serve"], env=ours)
    assert result.exit_code == 0, result.stderr
    return served[0]
