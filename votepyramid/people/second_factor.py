"""The second factor: a security key, by WebAuthn (W3C Web Authentication, Level 3).

Signing in comes first, so the key need only be touched: no PIN, no account kept on
it, no attestation of its maker. An answer counts for the session that its challenge was
made for, once.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog
from sqlalchemy import Connection, Engine, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.authentication.verify_authentication_response import (
    VerifiedAuthentication,
)
from webauthn.helpers import parse_authentication_credential_json
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from votepyramid.people import acts, authenticators, challenges, metrics, service
from votepyramid.people.errors import (
    AuthenticatorKnown,
    AuthenticatorNameRefused,
    NoSuchAuthenticator,
    SecondFactorDue,
    SecondFactorRefused,
    SecondFactorUnavailable,
    SessionEnded,
    TooManyAuthenticators,
)
from votepyramid.people.models import Authenticator, PersonSession
from votepyramid.people.names import is_label
from votepyramid.people.sessions import Session, alive

T = TypeVar("T")

log = structlog.get_logger()

PARTY = "votepyramid"
MOST = 10
# An answer has about 1 KiB; one with a maker's certificates some more.
MAX_ANSWER = 64 * 1024
_TIMEOUT_MS = int(challenges.LIFETIME.total_seconds() * 1000)
_TOUCH = UserVerificationRequirement.DISCOURAGED


def begin_registration(engine: Engine, session: Session, origin: str) -> str:
    """What the page hands to `navigator.credentials.create`, as JSON.

    `origin` is that of the pages. Raises SecondFactorUnavailable,
    TooManyAuthenticators, and SecondFactorDue when the person has a key already and has
    not shown it.
    """
    party = _party(origin)
    with engine.connect() as connection:
        known = _ids(connection, session.person)
    _may_register(session, len(known))
    options = generate_registration_options(
        rp_id=party,
        rp_name=PARTY,
        user_id=session.person.bytes,
        user_name=session.name,
        challenge=challenges.make(engine, session.id, "register"),
        timeout=_TIMEOUT_MS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.DISCOURAGED, user_verification=_TOUCH
        ),
        exclude_credentials=_described(known),
    )
    return options_to_json(options)


def finish_registration(
    engine: Engine, session: Session, origin: str, name: str, answer: str
) -> None:
    """Keep the security key under the name that its person gives it.

    `answer` is the credential of `navigator.credentials.create` as JSON. The second
    factor is then given in this session. Raises SecondFactorRefused,
    AuthenticatorNameRefused, AuthenticatorKnown, and as `begin_registration`.
    """
    if not is_label(name):
        raise AuthenticatorNameRefused
    made = _registered(engine, session, origin, answer)
    with engine.begin() as connection:
        # Nobody registers a first one beside the person's own.
        person = service.named(connection, session.name)
        given = _session(connection, session)
        known = authenticators.names(connection, person.id)
        if known and given.second_factor_at is None:
            raise SecondFactorDue
        if len(known) >= MOST:
            raise TooManyAuthenticators
        if name in known:
            raise AuthenticatorNameRefused
        added = connection.execute(
            insert(Authenticator)
            .values(
                id=made.credential_id,
                person=person.id,
                public_key=made.credential_public_key,
                sign_count=made.sign_count,
                name=name,
            )
            .on_conflict_do_nothing(index_elements=[Authenticator.id])
            .returning(Authenticator.id)
        )
        if added.first() is None:
            raise AuthenticatorKnown
        _give(connection, session)
        keys = len(known) + 1
        acts.note(connection, "authenticator_registered", person.name, keys=keys)
    log.info("authenticator_registered", person=session.name)


def begin_assertion(engine: Engine, session: Session, origin: str) -> str:
    """What the page hands to `navigator.credentials.get`, as JSON.

    Raises SecondFactorUnavailable, NoSuchAuthenticator.
    """
    party = _party(origin)
    with engine.connect() as connection:
        known = _ids(connection, session.person)
    if not known:
        raise NoSuchAuthenticator
    options = generate_authentication_options(
        rp_id=party,
        challenge=challenges.make(engine, session.id, "assert"),
        timeout=_TIMEOUT_MS,
        allow_credentials=_described(known),
        user_verification=_TOUCH,
    )
    return options_to_json(options)


def finish_assertion(
    engine: Engine, session: Session, origin: str, answer: str
) -> None:
    """Note in the session that its person has just shown a security key of theirs.

    `answer` is the credential of `navigator.credentials.get` as JSON. Raises
    SecondFactorRefused, SessionEnded, SecondFactorUnavailable.
    """
    challenge = challenges.take(engine, session.id, "assert")
    with engine.begin() as connection:
        if challenge is None:
            raise _refused(session, "no challenge")
        stored = _stored(connection, session, answer)
        shown = _asserted(session, origin, challenge, stored, answer)
        went_on = _counted_on(stored.sign_count, shown.new_sign_count)
        if went_on:
            _take(connection, stored, shown)
            _give(connection, session)
        else:
            acts.note(connection, "authenticator_count_went_back", session.name)
    if not went_on:
        # The alarm: there may be a copy of the key.
        metrics.KEY_COPIED.inc()
        log.error("authenticator_count_went_back", person=session.name)
        raise SecondFactorRefused
    log.info("second_factor_given", person=session.name)


def _take(
    connection: Connection, stored: Row[Any], shown: VerifiedAuthentication
) -> None:
    connection.execute(
        update(Authenticator)
        .where(Authenticator.id == stored.id)
        .values(sign_count=shown.new_sign_count, last_used_at=func.clock_timestamp())
    )


def _party(origin: str) -> str:
    """The relying party's id: the host's name. Browsers give keys to no address."""
    host = urlsplit(origin).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if host:
            return host
    raise SecondFactorUnavailable(origin)


def _may_register(session: Session, known: int) -> None:
    if authenticators.due(session):
        raise SecondFactorDue
    if known >= MOST:
        raise TooManyAuthenticators


def _registered(
    engine: Engine, session: Session, origin: str, answer: str
) -> VerifiedRegistration:
    party = _party(origin)
    challenge = challenges.take(engine, session.id, "register")
    if challenge is None:
        raise _refused(session, "no challenge")
    return _read(
        session,
        answer,
        lambda: verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_origin=origin,
            expected_rp_id=party,
        ),
    )


def _asserted(
    session: Session, origin: str, challenge: bytes, stored: Row[Any], answer: str
) -> VerifiedAuthentication:
    party = _party(origin)
    return _read(
        session,
        answer,
        lambda: verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_origin=origin,
            expected_rp_id=party,
            credential_public_key=stored.public_key,
            # Compared by us, once the signature is known to be the key's.
            credential_current_sign_count=0,
        ),
    )


def _stored(connection: Connection, session: Session, answer: str) -> Row[Any]:
    """The person's security key that the answer names, locked."""
    named = _read(session, answer, lambda: parse_authentication_credential_json(answer))
    row = connection.execute(
        select(Authenticator.__table__)
        .where(Authenticator.id == named.raw_id, Authenticator.person == session.person)
        .with_for_update()
    ).first()
    if row is None:
        raise _refused(session, "another key")
    return row


def _read(session: Session, answer: str, read: Callable[[], T]) -> T:
    """What the library makes of an answer. Raises SecondFactorRefused."""
    if len(answer) > MAX_ANSWER:
        raise _refused(session, "too long")
    try:
        return read()
    # Its parsers let KeyError and RecursionError through, too.
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer is bad
        raise _refused(session, type(error).__name__) from None


def _counted_on(before: int, now: int) -> bool:
    """Keys that do not count say 0 for ever; the others say more each time."""
    return now > before or (now == 0 and before == 0)


def _session(connection: Connection, session: Session) -> Row[Any]:
    row = connection.execute(
        select(PersonSession.second_factor_at).where(
            PersonSession.id == session.id, alive()
        )
    ).first()
    if row is None:
        raise SessionEnded
    return row


def _give(connection: Connection, session: Session) -> None:
    given = connection.execute(
        update(PersonSession)
        .where(PersonSession.id == session.id, alive())
        .values(second_factor_at=func.clock_timestamp())
    )
    if given.rowcount != 1:
        raise SessionEnded


def _ids(connection: Connection, person: uuid.UUID) -> list[bytes]:
    found = select(Authenticator.id).where(Authenticator.person == person)
    return list(connection.scalars(found))


def _described(ids: list[bytes]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=one) for one in ids]


def _refused(session: Session, why: str) -> SecondFactorRefused:
    log.warning("second_factor_refused", person=session.name, why=why)
    return SecondFactorRefused()
