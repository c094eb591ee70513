"""What a source of observations gives, and how it says that it cannot."""

from typing import NamedTuple

from hedgerow.planning.advice import Symptoms
from hedgerow.planning.observations import Observations
from hedgerow.planning.what_if import Plan


class SourceError(Exception):
    """Nothing can be planned from this source; the message is one line that says why, and what is accepted."""


class Source(NamedTuple):
    """Observations, and what else is known of the upstream."""

    observations: Observations
    symptoms: Symptoms
    description: str
    """For people: where it is from, and what of it was left out."""
    current: Plan | None = None
    """The plan in use, where there is one."""
    route: str | None = None
    """The route of a file that it is of: its settings are no flags."""
