"""Whether the settings name what a process of their roles cannot do without."""

from __future__ import annotations

from votepyramid.doctor.check import Check, Finding, listed, ok, wrong
from votepyramid.settings import Settings

SUBJECT = "settings"
_ALWAYS = ("database_url", "codec_keys_file")
_CLAIM = ("jwt_issuer", "jwt_audience", "jwt_jwks")


def checks(settings: Settings) -> list[Check]:
    """The one of the subject."""
    return [Check("settings", SUBJECT, lambda: _settings(settings))]


def unusable(message: str) -> Finding:
    """What is said when they do not load at all: then there is nothing to check."""
    return wrong(message, "See docs/configuration.md.")


def _settings(settings: Settings) -> Finding:
    # The sequencer's environment is told by its folder; it opens no payload.
    needed = list(_ALWAYS[:1] if settings.checkpoint_folder else _ALWAYS)
    if "claim" in settings.roles and settings.codec_keys_file:
        needed += _CLAIM
    absent = [name for name in needed if not getattr(settings, name)]
    if absent:
        said = listed(f"VOTEPYRAMID_{name.upper()}" for name in absent)
        return wrong(
            f"not set, and a process of the roles {listed(sorted(settings.roles))} "
            f"needs it: {said}",
            "Set it as docs/configuration.md has it.",
        )
    return ok(f"{settings.environment}, roles {listed(sorted(settings.roles))}")
