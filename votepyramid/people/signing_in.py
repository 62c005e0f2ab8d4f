"""Signing in with a passphrase, and what keeps guessers out.

An attempt is counted before its passphrase is looked at, so that a thousand guesses at
once are not looked at before the first has been counted. Who is inside and gives their
passphrase again is counted in their session: a stranger at the door cannot keep them
from acting.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

import structlog
from sqlalchemy import Engine, Row, case, func, literal, or_, update

from votepyramid.people import acts, metrics, passwords, sessions
from votepyramid.people.errors import PassphraseWrong, SessionEnded, SignInRefused
from votepyramid.people.models import Person, PersonSession
from votepyramid.people.names import is_name
from votepyramid.people.sessions import Session

log = structlog.get_logger()

# So many may fail; then each further one makes the wait twice as long.
FREE_ATTEMPTS = 5
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=1)
# 30 s doubled so often is over an hour; more would only overflow.
_DOUBLINGS = 7


@dataclass(frozen=True)
class SignedIn:
    """Who has shown who they are."""

    id: uuid.UUID
    name: str
    roles: tuple[str, ...]


def sign_in(engine: Engine, name: str, password: str) -> SignedIn:
    """Whose passphrase it is.

    Raises SignInRefused alike, and after like work, for a wrong passphrase, an unknown
    name, somebody who is disabled, locked out or not set up; Busy.
    """
    with passwords.place():
        person = _count(engine, name)
        stored = None if person is None else person.password_hash
        if not passwords.matches(stored, password) or person is None:
            _refuse(engine, person)
        made = passwords.hashed(password) if passwords.outdated(stored or "") else None
    if not _forgive(engine, person, made):
        raise SignInRefused
    log.info("person_signed_in", person=person.name)
    return SignedIn(person.id, person.name, tuple(person.roles))


def sign_in_again(engine: Engine, session: Session, password: str) -> None:
    """Note in a session that its person gave their passphrase again.

    The account's own counter and lockout have no part in it. After as many wrong ones
    as an account may have the session ends. Raises PassphraseWrong, SessionEnded, Busy.
    """
    with passwords.place():
        tried = _count_inside(engine, session)
        if tried is None:
            raise _guessed(engine, session)
        if not passwords.matches(tried.password_hash, password):
            left = FREE_ATTEMPTS - tried.failed_count
            if left <= 0:
                raise _guessed(engine, session)
            log.warning("sign_in_again_refused", person=session.name, left=left)
            raise PassphraseWrong(left)
    sessions.renew(engine, session.id, session.person)
    log.info("person_signed_in_again", person=session.name)


def _count_inside(engine: Engine, session: Session) -> Row[Any] | None:
    """Count an attempt in the session; None when it has none left, or is over."""
    counted = (
        update(PersonSession)
        .where(
            PersonSession.id == session.id,
            PersonSession.failed_count < FREE_ATTEMPTS,
            sessions.alive(),
            Person.id == PersonSession.person,
            Person.disabled_at.is_(None),
        )
        .values(failed_count=PersonSession.failed_count + 1)
        .returning(PersonSession.failed_count, Person.password_hash)
    )
    with engine.begin() as connection:
        return connection.execute(counted).first()


def _guessed(engine: Engine, session: Session) -> SessionEnded:
    """End the session; the alarm is that of an account: somebody guesses."""
    if sessions.end(engine, session):
        metrics.LOCKED_OUT.inc()
        log.error("session_guessed_at", person=session.name, failed=FREE_ATTEMPTS)
    return SessionEnded()


def _count(engine: Engine, name: str) -> Row[Any] | None:
    """Count an attempt; None when there is nobody who may try now."""
    now = func.clock_timestamp()
    failed = Person.failed_count + 1
    counted = (
        update(Person)
        .where(
            Person.name == name,
            Person.password_hash.is_not(None),
            Person.disabled_at.is_(None),
            or_(Person.locked_until.is_(None), Person.locked_until <= now),
        )
        .values(
            failed_count=failed,
            locked_until=case((failed >= FREE_ATTEMPTS, now + _wait(failed))),
        )
        .returning(
            Person.id,
            Person.name,
            Person.roles,
            Person.password_hash,
            Person.failed_count,
            Person.locked_until,
        )
    )
    if not is_name(name):
        return None
    with engine.begin() as connection:
        return connection.execute(counted).first()


def _wait(failed: Any) -> Any:
    doubled = func.power(2, func.least(failed - FREE_ATTEMPTS, _DOUBLINGS))
    return func.least(literal(FIRST_WAIT) * doubled, LONGEST_WAIT)


def _refuse(engine: Engine, person: Row[Any] | None) -> NoReturn:
    """Raises SignInRefused. A name that nobody has may be a passphrase: not logged."""
    if person is None:
        log.warning("sign_in_refused")
    elif person.locked_until is None:
        log.warning("sign_in_refused", person=person.name, failed=person.failed_count)
    else:
        # The alarm: somebody guesses.
        metrics.LOCKED_OUT.inc()
        until = _lock_out(engine, person)
        log.error(
            "person_locked_out",
            person=person.name,
            failed=person.failed_count,
            until=until.isoformat(),
        )
    raise SignInRefused


def _lock_out(engine: Engine, person: Row[Any]) -> datetime:
    """Now that the passphrase was wrong, the wait is a lockout, and an event; its end.

    Until then it only held further attempts back. Nobody's attempt is counted who is
    locked out, so a lockout is one event, however many guess.
    """
    locking = (
        update(Person)
        # Unless it was ended meanwhile.
        .where(
            Person.id == person.id,
            Person.failed_count == person.failed_count,
            Person.locked_until == person.locked_until,
        )
        .values(locked_until=func.clock_timestamp() + _wait(Person.failed_count))
        .returning(Person.locked_until)
    )
    with engine.begin() as connection:
        until: datetime | None = connection.scalar(locking)
        if until is not None:
            failed = person.failed_count
            acts.note(connection, "person_locked_out", person.name, failed=failed)
    return until or person.locked_until


def _forgive(engine: Engine, person: Row[Any], made: str | None) -> bool:
    """Forget what failed, store the newer hash; False when it changed meanwhile."""
    with engine.begin() as connection:
        done = connection.execute(
            update(Person)
            .where(
                Person.id == person.id,
                Person.password_hash == person.password_hash,
                Person.disabled_at.is_(None),
            )
            .values(
                failed_count=0,
                locked_until=None,
                password_hash=made or Person.password_hash,
            )
        )
    return done.rowcount == 1
