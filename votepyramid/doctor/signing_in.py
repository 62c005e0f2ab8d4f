"""Where administrators sign in besides: the identity provider and what it can."""

from __future__ import annotations

from votepyramid.doctor.check import Check, Finding, listed, ok, skipped, warning, wrong
from votepyramid.jose.sources import SourceError
from votepyramid.people.oidc.provider import Client, Provider
from votepyramid.settings import Settings, SettingsError

SUBJECT = "people"
# Two documents are fetched, within the time of a check.
_SECONDS = 2.0


def checks(settings: Settings) -> list[Check]:
    """The one of the subject."""
    return [Check("identity-provider", SUBJECT, lambda: _provider(settings))]


def _provider(settings: Settings) -> Finding:
    try:
        client = Client.of(settings, settings.admin_origin)
    except SettingsError as error:
        return wrong(str(error), "Put the secret there, mode 0600.")
    if client is None:
        return skipped("oidc_issuer is not set here")
    provider = Provider(client, seconds=_SECONDS)
    try:
        lacking = provider.lacks()
    except SourceError as error:
        return wrong(
            f"{client.issuer}: {error}",
            "Compare oidc_issuer with the provider's discovery document, and look "
            "whether this host reaches it. Passphrases work meanwhile.",
        )
    if lacking:
        return wrong(
            f"{client.issuer} says that it cannot do {listed(lacking)}",
            "Set the client up so at the provider; see docs/configuration.md.",
        )
    if provider.tells_time() is False:
        return warning(
            f"{client.issuer} does not say that it tells auth_time",
            "Have it sent: without it nobody can sign in again there for what asks "
            "for a recent sign-in.",
        )
    return ok(f"{client.issuer} answers, and can do what is needed")
