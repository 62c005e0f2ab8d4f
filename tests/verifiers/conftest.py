"""Other people's verifiers."""

from __future__ import annotations

from tests.verifiers.aics import tool
from tests.verifiers.judging import judge

__all__ = ["judge", "tool"]
