"""Who may run elections: inviting, roles, disabling.

Each act is an audit event (see acts.py) and a line of the log. Every function has a
transaction of its own. Acts that decide who is an administrator go one after the
other, so that two of them cannot together remove the last one.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import (
    Connection,
    Engine,
    Row,
    any_,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    update,
)

from votepyramid.people import acts, passwords, sessions, vouching
from votepyramid.people.errors import (
    LastAdministrator,
    NoSuchPerson,
    PersonDisabled,
    RolesInvalid,
)
from votepyramid.people.models import BoundIdentity, Person
from votepyramid.people.names import is_name

log = structlog.get_logger()

# In the order in which they are shown.
ROLES = ("viewer", "operator", "administrator", "auditor")
ADMINISTRATOR = "administrator"
_LOCK = 0x70656F70  # "peop"


@dataclass(frozen=True)
class Somebody:
    """A person as others may see them. Times are UTC.

    `issuers` are the identity providers at which they are known.
    """

    id: uuid.UUID
    name: str
    roles: tuple[str, ...]
    passphrase: bool
    issuers: tuple[str, ...]
    disabled: bool
    failed_count: int
    locked_until: datetime | None
    created_at: datetime

    @property
    def set_up(self) -> bool:
        """Whether there is a way in for them."""
        return self.passphrase or bool(self.issuers)


def everybody(engine: Engine) -> list[Somebody]:
    """All people by name; `locked_until` is None when it is past."""
    with engine.connect() as connection:
        rows = connection.execute(_SEEN.order_by(Person.name))
        return [_somebody(row) for row in rows]


def somebody(engine: Engine, name: str) -> Somebody:
    """The person of that name, as `everybody` has them. Raises NoSuchPerson."""
    wanted = _SEEN.where(Person.name == name)
    with engine.connect() as connection:
        row = connection.execute(wanted).first() if is_name(name) else None
    if row is None:
        raise NoSuchPerson(name)
    return _somebody(row)


_KNOWN_AT = (
    select(BoundIdentity.issuer)
    .where(BoundIdentity.person == Person.id)
    .order_by(BoundIdentity.issuer)
    .scalar_subquery()
)
_SEEN = select(
    Person.__table__,
    func.array(_KNOWN_AT).label("issuers"),
    func.clock_timestamp().label("now"),
)


def _somebody(row: Row[Any]) -> Somebody:
    locked = row.locked_until
    return Somebody(
        row.id,
        row.name,
        tuple(row.roles),
        row.password_hash is not None,
        tuple(row.issuers),
        row.disabled_at is not None,
        row.failed_count,
        locked if locked and locked > row.now else None,
        row.created_at,
    )


def set_roles(engine: Engine, name: str, roles: Iterable[str]) -> tuple[str, ...]:
    """Give a person these roles and no others; they hold from the next request on.

    Raises RolesInvalid, NoSuchPerson, LastAdministrator.
    """
    wanted = checked_roles(roles)
    with deciding(engine) as connection:
        person = named(connection, name)
        if ADMINISTRATOR not in wanted:
            spare_the_last(connection, person)
        connection.execute(
            update(Person).where(Person.id == person.id).values(roles=list(wanted))
        )
        if ADMINISTRATOR in set(wanted) - set(person.roles):
            vouching.vouch(connection, person.id)
        by = acts.note(
            connection,
            "person_roles_changed",
            name,
            before=acts.in_words(person.roles),
            after=acts.in_words(wanted),
        )
    log.info(
        "person_roles_changed",
        by=by,
        person=name,
        before=list(person.roles),
        after=list(wanted),
    )
    return wanted


def disable(engine: Engine, name: str) -> int:
    """Keep a person out and end their sessions; how many were ended.

    Safe to repeat. Raises NoSuchPerson, LastAdministrator.
    """
    with deciding(engine) as connection:
        person = named(connection, name)
        spare_the_last(connection, person)
        connection.execute(
            update(Person)
            .where(Person.id == person.id)
            .values(
                disabled_at=func.coalesce(Person.disabled_at, func.clock_timestamp())
            )
        )
        ended = sessions.end_all(connection, person.id)
        by = acts.note(connection, "person_disabled", name, sessions=ended)
    log.info("person_disabled", by=by, person=name, sessions_ended=ended)
    return ended


def enable(engine: Engine, name: str) -> None:
    """Let a disabled person in again. Raises NoSuchPerson."""
    with deciding(engine) as connection:
        person = named(connection, name)
        connection.execute(
            update(Person).where(Person.id == person.id).values(disabled_at=None)
        )
        if person.disabled_at is not None:
            vouching.vouch(connection, person.id)
        by = acts.note(connection, "person_enabled", name)
    log.info("person_enabled", by=by, person=name)


def unlock(engine: Engine, name: str) -> None:
    """Forget a person's failed attempts. Raises NoSuchPerson."""
    with deciding(engine) as connection:
        person = named(connection, name)
        connection.execute(
            update(Person)
            .where(Person.id == person.id)
            .values(failed_count=0, locked_until=None)
        )
        by = acts.note(connection, "person_unlocked", name)
    log.info("person_unlocked", by=by, person=name)


def set_password(
    engine: Engine, name: str, password: str, *, keep: bytes | None = None
) -> None:
    """Change a passphrase; ends the person's sessions but the one with id `keep`.

    Who calls it has seen a recent sign-in. Raises NoSuchPerson, PersonDisabled,
    PasswordRefused, Busy.
    """
    passwords.accept(name, password)
    with passwords.place():
        made = passwords.hashed(password)
    with deciding(engine) as connection:
        person = named(connection, name)
        refuse_disabled(person)
        store_password(connection, person.id, made)
        ended = sessions.end_all(connection, person.id, keep=keep)
        by = acts.note(connection, "person_password_set", name, sessions=ended)
    log.info("person_password_set", by=by, person=name, sessions_ended=ended)


# What the set-up shares.


@contextmanager
def deciding(engine: Engine) -> Iterator[Connection]:
    """A transaction in which nobody else changes who may do what."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        yield connection


def administrators(connection: Connection) -> list[uuid.UUID]:
    """Those who can sign in and administer: a lockout passes and does not count."""
    found = connection.scalars(
        select(Person.id).where(
            literal(ADMINISTRATOR) == any_(Person.roles),
            or_(
                Person.password_hash.is_not(None),
                exists().where(BoundIdentity.person == Person.id),
            ),
            Person.disabled_at.is_(None),
        )
    )
    return list(found)


def spare_the_last(connection: Connection, person: Row[Any]) -> None:
    """Raises LastAdministrator for the only one who can administer."""
    if administrators(connection) == [person.id]:
        raise LastAdministrator(
            f"{person.name} is the last administrator: make another one first"
        )


def administers(connection: Connection, name: str) -> bool:
    """Whether somebody of that name can administer now."""
    wanted = select(Person.id).where(Person.name == name)
    return connection.scalar(wanted) in administrators(connection)


def named(connection: Connection, name: str) -> Row[Any]:
    """A person's row, locked. Raises NoSuchPerson."""
    wanted = select(Person.__table__).where(Person.name == name).with_for_update()
    row = connection.execute(wanted).first() if is_name(name) else None
    if row is None:
        raise NoSuchPerson(name)
    return row


def refuse_disabled(person: Row[Any]) -> None:
    """Raises PersonDisabled."""
    if person.disabled_at is not None:
        raise PersonDisabled(
            f"{person.name} is disabled: first `votepyramid people enable "
            f"{person.name}`"
        )


def store_password(connection: Connection, person: uuid.UUID, made: str) -> None:
    """Store a hash; what failed with the old passphrase is forgotten."""
    connection.execute(
        update(Person)
        .where(Person.id == person)
        .values(password_hash=made, failed_count=0, locked_until=None)
    )


def forget_password(connection: Connection, person: uuid.UUID) -> None:
    """Let them in by no passphrase; what failed with the old one is forgotten."""
    connection.execute(
        update(Person)
        .where(Person.id == person)
        .values(password_hash=None, failed_count=0, locked_until=None)
    )


def checked_roles(roles: Iterable[str]) -> tuple[str, ...]:
    """The roles, each once, in our order. Raises RolesInvalid."""
    asked = set(roles)
    if not asked or asked - set(ROLES):
        raise RolesInvalid(f"name one or more of the roles {', '.join(ROLES)}")
    return tuple(role for role in ROLES if role in asked)
