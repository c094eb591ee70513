"""What `hedgerow serve` makes of the variables that a deployment sets."""

from collections.abc import Mapping

import pytest
from click.testing import CliRunner

from hedgerow.cli import main
from hedgerow.processes import supervisor
from hedgerow.settings import Settings


def settings_of(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings that would be served; an unknown variable, or a value not accepted, fails the test."""
    ours = {name: value for name, value in environment.items() if name.startswith("HEDGEROW_")}
    served: list[Settings] = []
    monkeypatch.setattr(supervisor, "run", lambda settings, _read_again: served.append(settings))
    result = CliRunner().invoke(main, ["serve"], env=ours)
    assert result.exit_code == 0, result.output
    return served[0]
