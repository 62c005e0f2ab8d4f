"""Challenges of WebAuthn: random, of one session, good once and for five minutes."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Literal

from sqlalchemy import Engine, delete, func
from sqlalchemy.dialects.postgresql import insert

from votepyramid.people.models import Challenge

LIFETIME = timedelta(minutes=5)
_BYTES = 32

Purpose = Literal["register", "assert"]


def make(engine: Engine, session: bytes, purpose: Purpose) -> bytes:
    """32 random bytes in the place of the session's older ones for that purpose.

    Raises IntegrityError where there is no such session.
    """
    challenge = secrets.token_bytes(_BYTES)
    put = {"challenge": challenge, "expires_at": func.clock_timestamp() + LIFETIME}
    with engine.begin() as connection:
        connection.execute(
            insert(Challenge)
            .values(session=session, purpose=purpose, **put)
            .on_conflict_do_update(
                index_elements=[Challenge.session, Challenge.purpose], set_=put
            )
        )
    return challenge


def take(engine: Engine, session: bytes, purpose: Purpose) -> bytes | None:
    """The session's challenge, which is then gone; None when there is none in time.

    It is committed: an answer that does not hold uses the challenge up, too.
    """
    with engine.begin() as connection:
        row = connection.execute(
            delete(Challenge)
            .where(Challenge.session == session, Challenge.purpose == purpose)
            .returning(
                Challenge.challenge,
                (Challenge.expires_at > func.clock_timestamp()).label("in_time"),
            )
        ).first()
    return row.challenge if row is not None and row.in_time else None
