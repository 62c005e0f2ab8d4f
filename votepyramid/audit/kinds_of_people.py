"""The kinds of audit events about people who run elections.

They belong to no one election: see `service.append_to_all`.
"""

from __future__ import annotations

from votepyramid.audit.kind import Cause, Kind

PERSON = "name of the person"

OF_PEOPLE = (
    Kind(
        "first_setup_link_made",
        Cause.OPERATOR,
        "`people setup-link` made a link for the first administrator",
    ),
    Kind(
        "first_administrator_set_up",
        Cause.OPERATOR,
        "somebody used that link, and is an administrator",
        PERSON,
    ),
    Kind(
        "person_invited",
        Cause.OPERATOR,
        "an account with these roles was made, and a link to set it up",
        PERSON,
        ("roles",),
    ),
    Kind(
        "person_invited_again",
        Cause.OPERATOR,
        "a new link was made for an account",
        PERSON,
    ),
    Kind(
        "person_set_up",
        Cause.OPERATOR,
        "somebody used the link; what let them in before does not any more",
        PERSON,
    ),
    Kind(
        "person_roles_changed",
        Cause.OPERATOR,
        "an account was given other roles",
        PERSON,
        ("before", "after"),
    ),
    Kind(
        "person_disabled",
        Cause.OPERATOR,
        "an account was disabled, and so many sessions of it ended",
        PERSON,
        ("sessions",),
    ),
    Kind("person_enabled", Cause.OPERATOR, "an account was enabled again", PERSON),
    Kind(
        "person_unlocked",
        Cause.OPERATOR,
        "the failed attempts of an account were forgotten",
        PERSON,
    ),
    Kind(
        "person_password_set",
        Cause.OPERATOR,
        "somebody changed their passphrase; so many other sessions ended",
        PERSON,
        ("sessions",),
    ),
    Kind(
        "person_session_revoked",
        Cause.OPERATOR,
        "one session of an account was ended; signing out is none",
        PERSON,
    ),
    Kind(
        "person_sessions_revoked",
        Cause.OPERATOR,
        "all sessions of an account were ended, so many",
        PERSON,
        ("sessions",),
    ),
    Kind(
        "authenticator_registered",
        Cause.OPERATOR,
        "somebody registered a security key, and has so many (`keys`)",
        PERSON,
        ("keys",),
    ),
    Kind(
        "authenticator_removed",
        Cause.OPERATOR,
        "a security key of an account was removed, which leaves so many (`keys`); so "
        "many sessions ended",
        PERSON,
        ("keys", "sessions"),
    ),
    Kind(
        "identity_bound",
        Cause.OPERATOR,
        "somebody bound their account to who they are at the identity provider",
        PERSON,
        ("issuer",),
    ),
    Kind(
        "identity_removed",
        Cause.OPERATOR,
        "an identity of an account was removed; so many sessions ended",
        PERSON,
        ("issuer", "sessions"),
    ),
    Kind(
        "person_locked_out",
        Cause.ENGINE,
        "so many passphrases in a row were wrong: the account waits. One event each "
        "time, after 30 s, a minute, … an hour",
        PERSON,
        ("failed",),
    ),
    Kind(
        "authenticator_count_went_back",
        Cause.ENGINE,
        "a security key signed rightly and counted as a copy of it would: refused",
        PERSON,
    ),
)
