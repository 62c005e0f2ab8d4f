"""One-time links by which people set up: the first administrator, and the invited.

A link is a random secret, given out once. A new one for the same person ends the older.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, and_, delete, func, insert, select, update

from votepyramid.audit.operators import acting_as
from votepyramid.people import (
    acts,
    identities,
    passwords,
    secret,
    service,
    sessions,
    vouching,
)
from votepyramid.people.errors import NameTaken, SetupRefused
from votepyramid.people.models import Person, PersonSetup
from votepyramid.people.names import checked_name
from votepyramid.people.oidc.id_tokens import Identity

log = structlog.get_logger()

FIRST_LIFETIME = timedelta(hours=1)
LIFETIME = timedelta(days=3)


@dataclass(frozen=True)
class Link:
    """A link's secret, to be handed to one person, and when it expires (UTC)."""

    secret: str = field(repr=False)
    expires_at: datetime

    def address(self, origin: str) -> str:
        """To be opened in a browser, at the pages of `origin`.

        The secret stands behind a #: no browser sends that to a server.
        """
        return f"{origin}/set-up#{self.secret}"


def first_setup_link(engine: Engine) -> Link:
    """A link for the first administrator, good for an hour.

    Raises SetupRefused when somebody can administer already.
    """
    with service.deciding(engine) as connection:
        _refuse_a_second(connection)
        link = _make(connection, None, FIRST_LIFETIME)
        by = acts.note(connection, "first_setup_link_made", None)
    log.info("first_setup_link_made", by=by, expires_at=link.expires_at.isoformat())
    return link


def invite(engine: Engine, name: str, roles: Iterable[str]) -> Link:
    """Make a person who sets up by the link, good for three days.

    Raises NameInvalid, NameTaken, RolesInvalid.
    """
    checked_name(name)
    wanted = service.checked_roles(roles)
    with service.deciding(engine) as connection:
        person = _add(connection, name, wanted)
        vouching.vouch(connection, person)
        link = _make(connection, person, LIFETIME)
        roles = acts.in_words(wanted)
        by = acts.note(connection, "person_invited", name, roles=roles)
    log.info("person_invited", by=by, person=name, roles=list(wanted))
    return link


def invite_again(engine: Engine, name: str) -> Link:
    """A new link for somebody who lost theirs, or their passphrase.

    The old passphrase holds until the link is used. Raises NoSuchPerson,
    PersonDisabled.
    """
    with service.deciding(engine) as connection:
        person = service.named(connection, name)
        service.refuse_disabled(person)
        vouching.vouch(connection, person.id)
        link = _make(connection, person.id, LIFETIME)
        by = acts.note(connection, "person_invited_again", name)
    log.info("person_invited_again", by=by, person=name)
    return link


def for_whom(engine: Engine, text: str) -> str | None:
    """The name of whom a link is for, None for the first administrator's.

    Raises SetupRefused when it cannot be used.
    """
    with engine.connect() as connection:
        row = connection.execute(
            select(PersonSetup.person, Person.name, Person.disabled_at)
            .outerjoin(Person, Person.id == PersonSetup.person)
            .where(_usable(_id(text)))
        ).first()
    if row is None or row.disabled_at is not None:
        raise _refused()
    return None if row.person is None else str(row.name)


def accept(engine: Engine, text: str, name: str, password: str) -> str:
    """Set up whom the link is for, the first administrator or somebody invited.

    Their name. Raises as `accept_first`, and SetupRefused for a name other than that
    of the invitation.
    """
    invited = for_whom(engine, text)
    if invited is None:
        accept_first(engine, text, name, password)
        return name
    _refuse_another(invited, name)
    return accept_invitation(engine, text, password)


def accept_first(engine: Engine, text: str, name: str, password: str) -> None:
    """Make the first administrator.

    Raises SetupRefused, NameInvalid, NameTaken, PasswordRefused, Busy; the link can
    then be used again, unless it was the link that was refused.
    """
    # Nobody without a link makes us hash.
    if for_whom(engine, text) is not None:
        raise _refused()
    checked_name(name)
    made = _hashed(name, password)
    _first(engine, _id(text), name, partial(_with_password, made))


def accept_invitation(engine: Engine, text: str, password: str) -> str:
    """Set the passphrase of the person whom the link is for; their name.

    It is their only way in then, and their sessions end. Raises as `accept_first`.
    """
    name = for_whom(engine, text)
    if name is None:
        raise _refused()
    made = _hashed(name, password)
    _invited(engine, _id(text), name, partial(_with_password, made))
    return name


def usable(engine: Engine, text: str, name: str) -> bytes:
    """The id of a link for somebody who goes to the identity provider with it.

    Raises as `accept`, but for the passphrase.
    """
    invited = for_whom(engine, text)
    _refuse_another(invited, name)
    checked_name(name)
    return _id(text)


def accept_identity(
    engine: Engine, link: bytes, name: str, identity: Identity
) -> uuid.UUID:
    """Set up whom the link of that id is for, with who they are at the provider.

    It is their only way in then, and their sessions end. Raises SetupRefused,
    NameTaken, IdentityTaken; the link can be used again after the last two.
    """
    with engine.connect() as connection:
        person = connection.scalar(select(PersonSetup.person).where(_usable(link)))
    set_up = _first if person is None else _invited
    return set_up(engine, link, name, partial(_with_identity, identity))


# How somebody gets a way in, in the transaction in which a link is used.
Credential = Callable[[Connection, uuid.UUID], None]


def _with_password(made: str, connection: Connection, person: uuid.UUID) -> None:
    service.store_password(connection, person, made)


def _with_identity(
    identity: Identity, connection: Connection, person: uuid.UUID
) -> None:
    identities.store(connection, person, identity)


def _first(engine: Engine, link: bytes, name: str, give: Credential) -> uuid.UUID:
    with _by_themselves(engine, name) as connection:
        _use(connection, link)
        _refuse_a_second(connection)
        person = _add(connection, name, (service.ADMINISTRATOR,))
        give(connection, person)
        acts.note(connection, "first_administrator_set_up", name)
    log.info("first_administrator_set_up", person=name)
    return person


def _invited(engine: Engine, link: bytes, name: str, give: Credential) -> uuid.UUID:
    """What let them in before does not any more: the link may be for that."""
    with _by_themselves(engine, name) as connection:
        _use(connection, link)
        found = service.named(connection, name)
        service.refuse_disabled(found)
        person: uuid.UUID = found.id
        service.forget_password(connection, person)
        identities.forget(connection, person)
        give(connection, person)
        sessions.end_all(connection, person)
        vouching.came_in(connection, person, LIFETIME)
        acts.note(connection, "person_set_up", name)
    log.info("person_set_up", person=name)
    return person


def _by_themselves(engine: Engine, name: str) -> AbstractContextManager[Connection]:
    """Who has the link is whom it is for, and acts, whoever's engine it is."""
    return service.deciding(acting_as(engine, name))


def _hashed(name: str, password: str) -> str:
    passwords.accept(name, password)
    with passwords.place():
        return passwords.hashed(password)


def _add(connection: Connection, name: str, roles: tuple[str, ...]) -> uuid.UUID:
    """Raises NameTaken. Within `deciding`, so that nobody takes it in between."""
    if connection.scalar(select(Person.id).where(Person.name == name)) is not None:
        raise NameTaken(
            f"somebody is named {name} already: take another name, or make a new link "
            f"with `votepyramid people invite {name} --again`"
        )
    made = insert(Person).values(name=name, roles=list(roles)).returning(Person.id)
    return connection.execute(made).scalar_one()


def _make(connection: Connection, person: uuid.UUID | None, life: timedelta) -> Link:
    text, kept = secret.make()
    connection.execute(
        delete(PersonSetup).where(
            PersonSetup.person.is_not_distinct_from(person),
            PersonSetup.used_at.is_(None),
        )
    )
    made = (
        insert(PersonSetup)
        .values(id=kept, person=person, expires_at=func.clock_timestamp() + life)
        .returning(PersonSetup.expires_at)
    )
    return Link(text, connection.execute(made).scalar_one())


def _use(connection: Connection, link: bytes) -> None:
    used = connection.execute(
        update(PersonSetup).where(_usable(link)).values(used_at=func.clock_timestamp())
    )
    if used.rowcount != 1:
        raise _refused()


def _id(text: str) -> bytes:
    """The id of the link with that secret; empty for what is no secret of ours."""
    return secret.kept(text) or b""


def _usable(link: bytes) -> Any:
    return and_(
        PersonSetup.id == link,
        PersonSetup.used_at.is_(None),
        PersonSetup.expires_at > func.clock_timestamp(),
    )


def _refuse_a_second(connection: Connection) -> None:
    if service.administrators(connection):
        raise SetupRefused(
            "there is an administrator already: ask one of them for an invitation"
        )


def _refuse_another(invited: str | None, name: str) -> None:
    """None is the first administrator's link, who chooses a name."""
    if invited is not None and invited != name:
        raise SetupRefused(
            f"the link is for {invited}: give that name, or ask for a link of your own"
        )


def _refused() -> SetupRefused:
    return SetupRefused("the set-up link is wrong, used or expired: ask for a new one")
