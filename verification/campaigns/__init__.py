"""The campaigns, a module `cNN_….py` for each."""

import pkgutil
from importlib import import_module

from verification.harness.campaign import Campaign


def all_campaigns() -> dict[str, Campaign]:
    """Return the campaign of every module here by its id, in order of their numbers."""
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return {module.CAMPAIGN.id: module.CAMPAIGN for module in modules}
