"""The security keys that people have registered, and who may take one away."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, Row, delete, select

from votepyramid.people import acts, service, sessions, vouching
from votepyramid.people.errors import (
    LastAuthenticator,
    NoSuchAuthenticator,
    SecondFactorDue,
)
from votepyramid.people.models import Authenticator
from votepyramid.people.sessions import Session

log = structlog.get_logger()

# Whose roles are worth a second factor: they decide who may what.
REQUIRED_FOR = frozenset({service.ADMINISTRATOR})


@dataclass(frozen=True)
class Shown:
    """A security key as its person and administrators see it. Times are UTC."""

    name: str
    created_at: datetime
    last_used_at: datetime | None


def due(session: Session) -> bool:
    """Whether the person has a security key and has not shown it in this session."""
    return session.has_authenticator and session.since_second_factor is None


def missing(session: Session) -> bool:
    """Whether the person must have a security key and has registered none."""
    return required(session.roles) and not session.has_authenticator


def required(roles: Any) -> bool:
    """Whether somebody with these roles must have a security key."""
    return not REQUIRED_FOR.isdisjoint(roles)


def listed(engine: Engine, name: str) -> list[Shown]:
    """A person's security keys, the oldest first. Raises NoSuchPerson."""
    with engine.begin() as connection:
        person = service.named(connection, name)
        rows = connection.execute(
            select(
                Authenticator.name, Authenticator.created_at, Authenticator.last_used_at
            )
            .where(Authenticator.person == person.id)
            .order_by(Authenticator.created_at)
        )
        return [Shown(*row) for row in rows]


def remove(engine: Engine, session: Session, authenticator: str) -> None:
    """Take away one of one's own, by its name; one's other sessions end.

    Raises NoSuchAuthenticator, SecondFactorDue, and LastAuthenticator for the last one
    of somebody who must have one.
    """
    if due(session):
        raise SecondFactorDue
    with engine.begin() as connection:
        person = service.named(connection, session.name)
        _delete(connection, person.id, authenticator)
        if required(person.roles) and not names(connection, person.id):
            raise LastAuthenticator
        ended = sessions.end_all(connection, person.id, keep=session.id)
        by = _note_removed(connection, person, ended)
    log.info("authenticator_removed", by=by, person=session.name, sessions_ended=ended)


def remove_for(engine: Engine, name: str, authenticator: str) -> int:
    """Take away one of somebody's, by its name, the last one too.

    An administrator's act; the person's sessions end, and how many there were is
    returned. Raises NoSuchPerson, NoSuchAuthenticator.
    """
    with engine.begin() as connection:
        person = service.named(connection, name)
        _delete(connection, person.id, authenticator)
        vouching.vouch(connection, person.id)
        ended = sessions.end_all(connection, person.id)
        by = _note_removed(connection, person, ended)
    log.info("authenticator_removed", by=by, person=name, sessions_ended=ended)
    return ended


def names(connection: Connection, person: uuid.UUID) -> list[str]:
    """What the person calls their security keys."""
    found = select(Authenticator.name).where(Authenticator.person == person)
    return list(connection.scalars(found))


def _note_removed(connection: Connection, person: Row[Any], ended: int) -> str:
    left = len(names(connection, person.id))
    return acts.note(
        connection, "authenticator_removed", person.name, keys=left, sessions=ended
    )


def _delete(connection: Connection, person: uuid.UUID, name: str) -> None:
    if name not in names(connection, person):
        raise NoSuchAuthenticator
    connection.execute(
        delete(Authenticator).where(
            Authenticator.person == person, Authenticator.name == name
        )
    )
