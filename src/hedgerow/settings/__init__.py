"""Settings and limits: every value that can be chosen, and every one that cannot."""

from hedgerow.settings.errors import InvalidSetting, SettingsError
from hedgerow.settings.limits import ClientLimits, DescriptorBudget, UpstreamLimits
from hedgerow.settings.schema import AccessLog, LogFormat, LoserPolicy, Settings
from hedgerow.settings.upstream_url import EMBEDDED, Target, parse_target

__all__ = [
    "EMBEDDED",
    "AccessLog",
    "ClientLimits",
    "DescriptorBudget",
    "InvalidSetting",
    "LogFormat",
    "LoserPolicy",
    "Settings",
    "SettingsError",
    "Target",
    "UpstreamLimits",
    "parse_target",
]
