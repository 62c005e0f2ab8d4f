"""Sessions of people: a random secret in a cookie, its hash and its times in Postgres.

They end by the database's clock: half an hour after their person was last seen, twelve
hours after they began (NIST SP 800-63B, AAL2), when revoked, or when the person is
disabled. A page that asks by itself shows nobody.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import (
    Connection,
    Engine,
    and_,
    delete,
    exists,
    extract,
    func,
    insert,
    select,
    update,
)

from votepyramid.people import acts, secret
from votepyramid.people.errors import NoSuchPerson, SessionEnded
from votepyramid.people.models import Authenticator, Person, PersonSession
from votepyramid.people.names import is_name

log = structlog.get_logger()

IDLE = timedelta(minutes=30)
LIFETIME = timedelta(hours=12)
# Ended ones are kept so long, to be looked at; then the next sign-in removes them.
_KEPT = timedelta(days=30)
MAX_LISTED = 100


@dataclass(frozen=True)
class Session:
    """Who asks, when read.

    `since_sign_in` and `since_second_factor` are in seconds, by the database's clock;
    the latter is None when no security key was shown in this session.
    """

    id: bytes
    person: uuid.UUID
    name: str
    roles: tuple[str, ...]
    since_sign_in: float
    since_second_factor: float | None
    has_authenticator: bool


@dataclass(frozen=True)
class Opened:
    """A new session; the secret is for the cookie, and kept nowhere."""

    secret: str = field(repr=False)
    id: bytes


@dataclass(frozen=True)
class Shown:
    """A session that has not ended, as its owner and administrators see it."""

    id: bytes
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


def open(engine: Engine, person: uuid.UUID, *, since: float | None = 0.0) -> Opened:
    """Begin a session for somebody who has just signed in.

    `since` is how many seconds ago they last proved who they are; None when nobody
    knows. Raises SessionEnded when they have been disabled since.
    """
    text, kept = secret.make()
    now = func.clock_timestamp()
    with engine.begin() as connection:
        # Who disables them waits for this row, and ends this session too.
        known = connection.scalar(
            select(Person.id)
            .where(Person.id == person, Person.disabled_at.is_(None))
            .with_for_update(read=True)
        )
        if known is None:
            raise SessionEnded
        connection.execute(
            delete(PersonSession).where(
                PersonSession.person == person, PersonSession.expires_at < now - _KEPT
            )
        )
        connection.execute(
            insert(PersonSession).values(
                id=kept,
                person=person,
                expires_at=now + LIFETIME,
                signed_in_at=now - _proven(since),
            )
        )
    return Opened(text, kept)


def _proven(since: float | None) -> timedelta:
    """How long ago. Beyond a session's life nothing is recent."""
    longest = LIFETIME.total_seconds()
    return timedelta(seconds=longest if since is None else min(since, longest))


def read(engine: Engine, text: str, *, seen: bool = True) -> Session:
    """The session of a secret; notes if its person was `seen`. Raises SessionEnded."""
    kept = secret.kept(text)
    if kept is None:
        raise SessionEnded
    now = func.clock_timestamp()
    whose = (
        PersonSession.id == kept,
        alive(),
        Person.id == PersonSession.person,
        Person.disabled_at.is_(None),
    )
    noted = update(PersonSession).where(*whose).values(seen_at=now)
    known = _known(now)
    asked = noted.returning(*known) if seen else select(*known).where(*whose)
    with engine.begin() as connection:
        row = connection.execute(asked).first()
    if row is None:
        raise SessionEnded
    return Session(
        row.id,
        row.person,
        row.name,
        tuple(row.roles),
        float(row.since),
        None if row.second is None else float(row.second),
        row.has_authenticator,
    )


def _known(now: Any) -> tuple[Any, ...]:
    """What a `Session` is made of."""
    return (
        PersonSession.id,
        Person.id.label("person"),
        Person.name,
        Person.roles,
        extract("epoch", now - PersonSession.signed_in_at).label("since"),
        extract("epoch", now - PersonSession.second_factor_at).label("second"),
        exists()
        .where(Authenticator.person == Person.id)
        .correlate(Person)
        .label("has_authenticator"),
    )


def recent(session: Session, seconds: float) -> bool:
    """Whether its person signed in in the last `seconds` before it was read."""
    return session.since_sign_in <= seconds


def renew(
    engine: Engine, session: bytes, person: uuid.UUID, *, since: float | None = 0.0
) -> None:
    """Note that its person signed in again, `since` seconds ago, in this session.

    Raises SessionEnded, also when it is another person's.
    """
    with engine.begin() as connection:
        renewed = connection.execute(
            update(PersonSession)
            .where(PersonSession.id == session, PersonSession.person == person, alive())
            .values(
                signed_in_at=func.clock_timestamp() - _proven(since), failed_count=0
            )
        )
        if renewed.rowcount != 1:
            raise SessionEnded


def listed(engine: Engine, name: str) -> list[Shown]:
    """A person's sessions that have not ended, the last seen first, 100 at most.

    Raises NoSuchPerson.
    """
    shown = (
        PersonSession.id,
        PersonSession.created_at,
        PersonSession.seen_at,
        PersonSession.expires_at,
    )
    with engine.connect() as connection:
        person = _id_of(connection, name)
        rows = connection.execute(
            select(*shown)
            .where(PersonSession.person == person, alive())
            .order_by(PersonSession.seen_at.desc())
            .limit(MAX_LISTED)
        )
        return [Shown(*row) for row in rows]


def sign_out(engine: Engine, session: Session) -> None:
    """End a session, as its person leaves. Raises SessionEnded."""
    if not end(engine, session):
        raise SessionEnded
    log.info("person_signed_out", person=session.name)


def end(engine: Engine, session: Session) -> bool:
    """End a session; whether it had not ended before."""
    ending = _ending(session.person).where(PersonSession.id == session.id)
    with engine.begin() as connection:
        return connection.execute(ending).rowcount == 1


def revoke(engine: Engine, name: str, session: bytes) -> None:
    """End one session of a person. Raises NoSuchPerson, SessionEnded."""
    with engine.begin() as connection:
        person = _id_of(connection, name)
        ended = connection.execute(
            _ending(person).where(PersonSession.id == session)
        ).rowcount
        if not ended:
            raise SessionEnded
        by = acts.note(connection, "person_session_revoked", name)
    log.info("person_session_revoked", by=by, person=name)


def revoke_all(engine: Engine, name: str) -> int:
    """End every session of a person; how many there were. Raises NoSuchPerson."""
    with engine.begin() as connection:
        ended = end_all(connection, _id_of(connection, name))
        by = acts.note(connection, "person_sessions_revoked", name, sessions=ended)
    log.info("person_sessions_revoked", by=by, person=name, sessions_ended=ended)
    return ended


def end_all(
    connection: Connection, person: uuid.UUID, *, keep: bytes | None = None
) -> int:
    """End a person's sessions but `keep`, in the caller's transaction; how many."""
    ending = _ending(person)
    if keep is not None:
        ending = ending.where(PersonSession.id != keep)
    return connection.execute(ending).rowcount


def _ending(person: uuid.UUID) -> Any:
    return (
        update(PersonSession)
        .where(PersonSession.person == person, alive())
        .values(revoked_at=func.clock_timestamp())
    )


def alive() -> Any:
    """The condition that a session has not ended."""
    now = func.clock_timestamp()
    return and_(
        PersonSession.revoked_at.is_(None),
        PersonSession.expires_at > now,
        PersonSession.seen_at > now - IDLE,
    )


def _id_of(connection: Connection, name: str) -> uuid.UUID:
    wanted = select(Person.id).where(Person.name == name)
    found = connection.scalar(wanted) if is_name(name) else None
    if found is None:
        raise NoSuchPerson(name)
    return found
