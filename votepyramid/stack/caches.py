"""The user's cache: what costs minutes to make anew, and what all our stacks share."""

from __future__ import annotations

import os
from pathlib import Path


def users_cache() -> Path:
    """Our folder in the user's cache directory (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "votepyramid"
