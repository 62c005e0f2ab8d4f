"""Who people are at the identity provider: bound by the person, never guessed.

An identity is an issuer and a subject, which the issuer gives to nobody else. What else
a provider says of somebody, an e-mail address for example, is not looked at.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Connection, Engine, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from votepyramid.people import acts, authenticators, service, sessions
from votepyramid.people.errors import (
    IdentityBound,
    IdentityTaken,
    IdentityUnknown,
    LastWayIn,
    NoSuchIdentity,
    SecondFactorDue,
)
from votepyramid.people.models import BoundIdentity, Person
from votepyramid.people.oidc.id_tokens import Identity
from votepyramid.people.sessions import Session
from votepyramid.people.signing_in import SignedIn

log = structlog.get_logger()


@dataclass(frozen=True)
class Shown:
    """A binding as its person and administrators see it. Times are UTC."""

    issuer: str
    subject: str
    created_at: datetime
    last_used_at: datetime | None


def listed(engine: Engine, name: str) -> list[Shown]:
    """A person's identities, the oldest first. Raises NoSuchPerson."""
    row = BoundIdentity
    with engine.begin() as connection:
        person = service.named(connection, name)
        rows = connection.execute(
            select(row.issuer, row.subject, row.created_at, row.last_used_at)
            .where(row.person == person.id)
            .order_by(row.created_at)
        )
        return [Shown(*one) for one in rows]


def sign_in(engine: Engine, identity: Identity) -> SignedIn:
    """Whose identity it is. Raises IdentityUnknown, also for who is disabled."""
    used = (
        update(BoundIdentity)
        .where(
            BoundIdentity.issuer == identity.issuer,
            BoundIdentity.subject == identity.subject,
            Person.id == BoundIdentity.person,
            Person.disabled_at.is_(None),
        )
        .values(last_used_at=func.clock_timestamp())
        .returning(Person.id, Person.name, Person.roles)
    )
    with engine.begin() as connection:
        person = connection.execute(used).first()
    if person is None:
        log.warning("identity_unknown")
        raise IdentityUnknown
    log.info("person_signed_in_elsewhere", person=person.name)
    return SignedIn(person.id, person.name, tuple(person.roles))


def bind(engine: Engine, session: Session, identity: Identity) -> None:
    """Let the session's person sign in as who they are at the provider, too.

    Who calls it has seen a recent sign-in. Raises IdentityTaken, IdentityBound,
    SecondFactorDue, and PersonDisabled for who has been disabled since.
    """
    if authenticators.due(session):
        raise SecondFactorDue
    with service.deciding(engine) as connection:
        person = service.named(connection, session.name)
        service.refuse_disabled(person)
        known = select(BoundIdentity.subject).where(
            BoundIdentity.person == person.id, BoundIdentity.issuer == identity.issuer
        )
        if connection.scalar(known) is not None:
            raise IdentityBound
        store(connection, person.id, identity)
        issuer = acts.issuer_of(identity.issuer)
        by = acts.note(connection, "identity_bound", person.name, issuer=issuer)
    log.info("identity_bound", by=by, person=session.name)


def remove(engine: Engine, session: Session, issuer: str) -> None:
    """Take away one of one's own; one's other sessions end.

    Raises NoSuchIdentity, SecondFactorDue, and LastWayIn where there is no passphrase.
    """
    if authenticators.due(session):
        raise SecondFactorDue
    with service.deciding(engine) as connection:
        person = service.named(connection, session.name)
        _delete(connection, person.id, issuer)
        if person.password_hash is None:
            raise LastWayIn
        ended = sessions.end_all(connection, person.id, keep=session.id)
        by = _note_removed(connection, person.name, issuer, ended)
    log.info("identity_removed", by=by, person=session.name, sessions_ended=ended)


def remove_for(engine: Engine, name: str, issuer: str) -> int:
    """Take away one of somebody's, also where it is their only way in.

    An administrator's act; the person's sessions end, and how many there were is
    returned. Raises NoSuchPerson, NoSuchIdentity, and LastAdministrator where nobody
    could then administer.
    """
    with service.deciding(engine) as connection:
        person = service.named(connection, name)
        if person.password_hash is None:
            service.spare_the_last(connection, person)
        _delete(connection, person.id, issuer)
        ended = sessions.end_all(connection, person.id)
        by = _note_removed(connection, person.name, issuer, ended)
    log.info("identity_removed", by=by, person=name, sessions_ended=ended)
    return ended


def store(connection: Connection, person: uuid.UUID, identity: Identity) -> None:
    """Bind it, in the caller's transaction. Raises IdentityTaken."""
    added = connection.execute(
        insert(BoundIdentity)
        .values(person=person, issuer=identity.issuer, subject=identity.subject)
        .on_conflict_do_nothing(
            index_elements=[BoundIdentity.issuer, BoundIdentity.subject]
        )
        .returning(BoundIdentity.subject)
    )
    if added.first() is None:
        raise IdentityTaken


def forget(connection: Connection, person: uuid.UUID) -> None:
    """Unbind all of a person's, in the caller's transaction."""
    connection.execute(delete(BoundIdentity).where(BoundIdentity.person == person))


def _note_removed(connection: Connection, name: str, issuer: str, ended: int) -> str:
    said = acts.issuer_of(issuer)
    return acts.note(connection, "identity_removed", name, issuer=said, sessions=ended)


def _delete(connection: Connection, person: uuid.UUID, issuer: str) -> None:
    bound = select(BoundIdentity.issuer).where(BoundIdentity.person == person)
    if issuer not in list(connection.scalars(bound)):
        raise NoSuchIdentity
    connection.execute(
        delete(BoundIdentity).where(
            BoundIdentity.person == person, BoundIdentity.issuer == issuer
        )
    )
