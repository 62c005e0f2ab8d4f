"""Who is at the identity provider: one row each, good once and for ten minutes.

The browser that goes there keeps a random secret in a cookie. `state`, `nonce` and the
PKCE verifier are made of it, one way: whoever sees one of them on its way knows neither
the secret nor the others, and an answer counts in that browser alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from sqlalchemy import (
    Connection,
    Engine,
    delete,
    extract,
    func,
    insert,
    or_,
    select,
    text,
)

from votepyramid.people import secret
from votepyramid.people.models import OidcRequest

LIFETIME = timedelta(minutes=10)
# Strangers can begin: beyond so many the oldest go.
MOST = 10_000
_LOCK = 0x6F696463  # "oidc"

Purpose = Literal["sign_in", "sign_in_again", "bind", "set_up"]


@dataclass(frozen=True)
class Asked:
    """Why somebody goes to the provider.

    `session` is whose account it is about, `setup` and `name` the link that is used,
    by its id, and for whom. `next` is where they wanted to be.
    """

    purpose: Purpose
    next: str = "/"
    session: bytes | None = None
    setup: bytes | None = None
    name: str | None = None


@dataclass(frozen=True)
class Proofs:
    """What is made of the browser's secret; 43 characters of base64url each."""

    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)

    @property
    def challenge(self) -> str:
        """S256 of the verifier (RFC 7636, section 4.2)."""
        return _text(hashlib.sha256(self.verifier.encode()).digest())


def proofs(kept: str) -> Proofs:
    """Those of a browser's secret."""

    def made(what: str) -> str:
        label = f"votepyramid/oidc/{what}/v1".encode()
        return _text(hmac.digest(kept.encode(), label, "sha256"))

    return Proofs(made("state"), made("nonce"), made("verifier"))


def begin(engine: Engine, asked: Asked) -> str:
    """Note that somebody goes there; the secret for their browser."""
    kept, known = secret.make()
    with engine.begin() as connection:
        _clear(connection)
        connection.execute(
            insert(OidcRequest).values(
                id=known,
                purpose=asked.purpose,
                next=asked.next,
                session=asked.session,
                setup=asked.setup,
                name=asked.name,
            )
        )
    return kept


def take(engine: Engine, kept: str) -> tuple[Asked, float] | None:
    """What it was about, and how many seconds ago it began; then it is gone.

    None when there is none in time. It is committed: an answer that does not hold uses
    it up, too.
    """
    known = secret.kept(kept)
    if known is None:
        return None
    age = extract("epoch", func.clock_timestamp() - OidcRequest.created_at)
    row = OidcRequest
    with engine.begin() as connection:
        found = connection.execute(
            delete(row)
            .where(row.id == known)
            .returning(row.purpose, row.next, row.session, row.setup, row.name, age)
        ).first()
    if found is None or found[-1] > LIFETIME.total_seconds():
        return None
    return Asked(*found[:-1]), float(found[-1])


def _clear(connection: Connection) -> None:
    """Remove what is late or too much; one at a time, so that nobody waits for it."""
    mine = text("SELECT pg_try_advisory_xact_lock(:key)")
    if not connection.scalar(mine, {"key": _LOCK}):
        return
    newest = OidcRequest.created_at.desc()
    # The one that is about to begin has a place, too.
    too_many = select(OidcRequest.id).order_by(newest).offset(MOST - 1)
    late = OidcRequest.created_at < func.clock_timestamp() - LIFETIME
    connection.execute(
        delete(OidcRequest).where(or_(late, OidcRequest.id.in_(too_many)))
    )


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
