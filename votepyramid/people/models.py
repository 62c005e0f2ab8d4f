"""Who runs elections: people, how they sign in, their sessions and security keys.

No secret is in these tables: of a passphrase an argon2id hash, of the random secrets
of sessions and links their SHA-256.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from votepyramid.db import Base

_TIME = DateTime(timezone=True)


class Person(Base):
    """Somebody with a role; without a passphrase's hash and without an identity at a
    provider, somebody who has not set up yet."""

    __tablename__ = "people"
    __table_args__ = (
        CheckConstraint("name ~ '^[a-z0-9][a-z0-9._@+-]{0,63}$'", name="name"),
        CheckConstraint(
            "cardinality(roles) > 0 AND roles <@ "
            "ARRAY['viewer', 'operator', 'administrator', 'auditor']",
            name="roles",
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(
        primary_key=True, server_default=text("gen_random_uuid()")
    )
    name: Mapped[str] = mapped_column(Text, unique=True)
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    password_hash: Mapped[str | None] = mapped_column(Text)
    disabled_at: Mapped[datetime | None] = mapped_column(_TIME)
    failed_count: Mapped[int] = mapped_column(Integer, server_default="0")
    locked_until: Mapped[datetime | None] = mapped_column(_TIME)
    created_at: Mapped[datetime] = mapped_column(
        _TIME, server_default=func.clock_timestamp()
    )


class PersonSession(Base):
    """A session, by the SHA-256 of its secret. All times are the database's."""

    __tablename__ = "people_sessions"
    __table_args__ = (CheckConstraint("octet_length(id) = 32", name="id"),)

    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    person: Mapped[uuid.UUID] = mapped_column(ForeignKey("people.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(
        _TIME, server_default=func.clock_timestamp()
    )
    seen_at: Mapped[datetime] = mapped_column(
        _TIME, server_default=func.clock_timestamp()
    )
    # When its person last proved who they are: dangerous acts ask for it again.
    signed_in_at: Mapped[datetime] = mapped_column(
        _TIME, server_default=func.clock_timestamp()
    )
    # When a security key was last shown in this session.
    second_factor_at: Mapped[datetime | None] = mapped_column(_TIME)
    # Wrong passphrases in a row that were given again in it.
    failed_count: Mapped[int] = mapped_column(Integer, server_default="0")
    expires_at: Mapped[datetime] = mapped_column(_TIME)
    revoked_at: Mapped[datetime | None] = mapped_column(_TIME)


class PersonSetup(Base):
    """A one-time link, by the SHA-256 of its secret; the first one has no person."""

    __tablename__ = "people_setup"
    __table_args__ = (CheckConstraint("octet_length(id) = 32", name="id"),)

    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    person: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("people.id"), index=True
    )
    created_at: Mapped[datetime] = mapped_column(
        _TIME, server_default=func.clock_timestamp()
    )
    expires_at: Mapped[datetime] = mapped_column(_TIME)
    used_at: Mapped[datetime | None] = mapped_column(_TIME)


class PersonVoucher(Base):
    """Who let a person in, and when last; a command names whom its environment says."""

    __tablename__ = "people_vouchers"
    __table_args__ = (
        CheckConstraint("char_length(voucher) BETWEEN 1 AND 64", name="voucher"),
    )

    person: Mapped[uuid.UUID] = mapped_column(ForeignKey("people.id"), primary_key=True)
    voucher: Mapped[str] = mapped_column(Text, primary_key=True)
    vouched_at: Mapped[datetime] = mapped_column(
        _TIME, server_default=func.clock_timestamp()
    )


class Authenticator(Base):
    """A security key: the id and COSE public key of its WebAuthn credential.

    `sign_count` is what the key said last; 0 for ever if it does not count.
    """

    __tablename__ = "people_authenticators"
    __table_args__ = (
        UniqueConstraint("person", "name"),
        CheckConstraint("octet_length(id) BETWEEN 1 AND 1023", name="id"),
        CheckConstraint(
            "octet_length(public_key) BETWEEN 1 AND 2048", name="public_key"
        ),
        CheckConstraint("sign_count BETWEEN 0 AND 4294967295", name="sign_count"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 64", name="name"),
    )

    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    person: Mapped[uuid.UUID] = mapped_column(ForeignKey("people.id"))
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(
        _TIME, server_default=func.clock_timestamp()
    )
    last_used_at: Mapped[datetime | None] = mapped_column(_TIME)


class Challenge(Base):
    """What a security key is to sign, for one session; gone once it was answered."""

    __tablename__ = "people_challenges"
    __table_args__ = (
        CheckConstraint("purpose IN ('register', 'assert')", name="purpose"),
    )

    session: Mapped[bytes] = mapped_column(
        ForeignKey("people_sessions.id", ondelete="CASCADE"), primary_key=True
    )
    purpose: Mapped[str] = mapped_column(Text, primary_key=True)
    challenge: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = mapped_column(_TIME)


class BoundIdentity(Base):
    """Who a person is at an identity provider: its issuer, and their subject there."""

    __tablename__ = "people_identities"
    __table_args__ = (
        UniqueConstraint("person", "issuer"),
        CheckConstraint("char_length(issuer) BETWEEN 1 AND 2048", name="issuer"),
        CheckConstraint("char_length(subject) BETWEEN 1 AND 255", name="subject"),
    )

    issuer: Mapped[str] = mapped_column(Text, primary_key=True)
    subject: Mapped[str] = mapped_column(Text, primary_key=True)
    person: Mapped[uuid.UUID] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime] = mapped_column(
        _TIME, server_default=func.clock_timestamp()
    )
    last_used_at: Mapped[datetime | None] = mapped_column(_TIME)


class OidcRequest(Base):
    """Somebody who is at the identity provider, by the SHA-256 of their secret.

    `session` is whose account it is about, `setup` and `name` the link that is used;
    `next` is where they wanted to be. Gone once they come back.
    """

    __tablename__ = "people_oidc_requests"
    __table_args__ = (
        CheckConstraint("octet_length(id) = 32", name="id"),
        CheckConstraint(
            "purpose IN ('sign_in', 'sign_in_again', 'bind', 'set_up')", name="purpose"
        ),
        CheckConstraint("char_length(next) <= 4096", name="next"),
        CheckConstraint("char_length(name) <= 64", name="name"),
    )

    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    purpose: Mapped[str] = mapped_column(Text)
    session: Mapped[bytes | None] = mapped_column(
        ForeignKey("people_sessions.id", ondelete="CASCADE"), index=True
    )
    setup: Mapped[bytes | None] = mapped_column(
        ForeignKey("people_setup.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str | None] = mapped_column(Text)
    next: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(
        _TIME, server_default=func.clock_timestamp(), index=True
    )
