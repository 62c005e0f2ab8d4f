"""The one place that makes the key provider which the settings name.

Making one asks nothing of a KMS, so that processes and their servers may come up in
any order; what the settings lack stops the start. A library that only one provider
needs is imported when that one is chosen.
"""

from __future__ import annotations

from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.provider import KeyProvider
from votepyramid.settings import Settings


def make(settings: Settings) -> KeyProvider:
    """Raises SettingsError, or KeyProviderError for a key file it cannot use."""
    return LocalKeyFile(settings.require("kek_file"))
