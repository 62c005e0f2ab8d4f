"""Going to the identity provider and coming back, for whatever reason."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Engine

from votepyramid.jose.signed import InvalidToken
from votepyramid.jose.sources import SourceError
from votepyramid.people import metrics
from votepyramid.people.errors import (
    Busy,
    ProviderAway,
    ProviderDeclined,
    ProviderRefused,
    SignInUndated,
)
from votepyramid.people.oidc import requests
from votepyramid.people.oidc.id_tokens import Identity, NotAfresh
from votepyramid.people.oidc.provider import BadAnswer, Provider
from votepyramid.people.oidc.requests import Asked, Proofs

log = structlog.get_logger()

# A provider that hangs must not hold every thread: so many wait for it at a time.
_AT_ONCE = 4
_PATIENCE_S = 1.0
_places = threading.BoundedSemaphore(_AT_ONCE)

# What a provider may say instead of a code: no other word of its answer is looked at
# (RFC 6749, section 4.1.2.1; OpenID Connect Core 1.0, section 3.1.2.6).
_DECLINED = {
    "access_denied",
    "account_selection_required",
    "consent_required",
    "interaction_required",
    "invalid_request",
    "invalid_scope",
    "login_required",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_response_type",
}


@dataclass(frozen=True)
class Leaving:
    """Where the browser goes, and the secret that it keeps in a cookie meanwhile."""

    address: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """The parameters with which a browser comes back; None for what is not there."""

    state: str | None
    code: str | None = field(repr=False)
    error: str | None
    issuer: str | None


def begin(engine: Engine, provider: Provider, asked: Asked) -> Leaving:
    """Send somebody there. Raises ProviderAway, Busy."""
    with _speaking_with(provider):
        # Asked first, so that strangers make no rows while it is away.
        provider.prepare()
    kept = requests.begin(engine, asked)
    prompt = asked.purpose != "sign_in"
    return Leaving(provider.address(requests.proofs(kept), prompt=prompt), kept)


def finish(
    engine: Engine, provider: Provider, kept: str | None, answer: Answer
) -> tuple[Asked, Identity]:
    """What it was about, and who came back; `kept` is their browser's cookie.

    Raises ProviderRefused, ProviderDeclined, SignInUndated, ProviderAway, Busy; the
    log says the kind, and nothing of what was sent.
    """
    try:
        proofs = _matching(kept, answer.state)
        begun = requests.take(engine, kept or "")
        if begun is None:
            raise BadAnswer("used or late")
        # Who began nothing here makes nobody wait.
        with _speaking_with(provider):
            return begun[0], _identity(provider, proofs, *begun, answer)
    except NotAfresh as error:
        log.warning("identity_refused", why=str(error))
        raise SignInUndated(provider.client.name, error.told) from None
    except (BadAnswer, InvalidToken) as error:
        log.warning("identity_refused", why=str(error))
        raise ProviderRefused(provider.client.name) from None


def _identity(
    provider: Provider, proofs: Proofs, asked: Asked, age: float, answer: Answer
) -> Identity:
    provider.check_issuer(answer.issuer)
    if answer.error is not None:
        known = answer.error in _DECLINED
        log.warning("identity_declined", why=answer.error if known else "another")
        raise ProviderDeclined(provider.client.name)
    if answer.code is None:
        raise BadAnswer("no code")
    afresh = asked.purpose == "sign_in_again"
    return provider.identity(answer.code, proofs, age, afresh=afresh)


def _matching(kept: str | None, state: str | None) -> Proofs:
    """The browser's own: nobody is signed in by a link that another made."""
    if kept is None:
        raise BadAnswer("no cookie")
    proofs = requests.proofs(kept)
    if state is None or not hmac.compare_digest(proofs.state.encode(), state.encode()):
        raise BadAnswer("another state")
    return proofs


@contextmanager
def _speaking_with(provider: Provider) -> Iterator[None]:
    """One of the few places. Raises Busy after a second, ProviderAway."""
    if not _places.acquire(timeout=_PATIENCE_S):
        raise Busy
    try:
        yield
    except SourceError as error:
        metrics.PROVIDER_AWAY.inc()
        log.error("identity_provider_away", why=str(error))
        raise ProviderAway(provider.client.name) from None
    finally:
        _places.release()
