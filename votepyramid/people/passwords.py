"""Passphrases: what is accepted, and their argon2id hashes.

NIST SP 800-63B, section 5.1.1.2: length instead of rules of composition, compared in
one Unicode form (NFKC). The parameters are RFC 9106's second recommended option: 3
passes over 64 MiB in 4 lanes.
"""

from __future__ import annotations

import secrets
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from votepyramid.people.errors import Busy, PasswordRefused

MIN_LENGTH = 12
MAX_LENGTH = 256
_MIN_DISTINCT = 5

# Each hash takes 64 MiB: a crowd at the door must not take the machine.
_AT_ONCE = 4
_PATIENCE_S = 5.0
_places = threading.BoundedSemaphore(_AT_ONCE)
_hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


@contextmanager
def place() -> Iterator[None]:
    """One of the few places for hashing in this process. Raises Busy after 5 s."""
    if not _places.acquire(timeout=_PATIENCE_S):
        raise Busy
    try:
        yield
    finally:
        _places.release()


def accept(name: str, password: str) -> None:
    """Raises PasswordRefused, saying why `password` will not do for `name`."""
    text = _canonical(password)
    if len(text) < MIN_LENGTH:
        raise PasswordRefused(
            f"the passphrase is too short: take {MIN_LENGTH} characters or more, "
            "several words for example"
        )
    if text.casefold() == name.casefold():
        raise PasswordRefused("the passphrase is the name: take another")
    if len(set(text)) < _MIN_DISTINCT:
        raise PasswordRefused(
            f"the passphrase repeats itself: take one with {_MIN_DISTINCT} different "
            "characters or more"
        )


def hashed(password: str) -> str:
    """The hash in PHC form, with its parameters and salt. Within a `place`."""
    return _hasher.hash(_canonical(password))


def matches(password_hash: str | None, password: str) -> bool:
    """Whether the passphrase is that of the hash; None never matches. Within a `place`.

    It takes as long for None as for a hash: whether a name exists is not to be told
    by the clock.
    """
    # Always asked for, so that making it takes no time that tells something.
    decoy = _decoy()
    try:
        found = _hasher.verify(password_hash or decoy, _canonical(password))
    except PasswordRefused:
        # Too long, or no Unicode: nobody's passphrase, as its writer knows.
        return False
    except (VerificationError, InvalidHashError):
        return False
    return found and password_hash is not None


def outdated(password_hash: str) -> bool:
    """Whether it was made with other parameters than those of today."""
    return _hasher.check_needs_rehash(password_hash)


@cache
def _decoy() -> str:
    return _hasher.hash(secrets.token_urlsafe())


def _canonical(password: str) -> str:
    """Raises PasswordRefused for what is too long or no Unicode text."""
    if len(password) > MAX_LENGTH:
        raise PasswordRefused(
            f"the passphrase is too long: take {MAX_LENGTH} characters or fewer"
        )
    text = unicodedata.normalize("NFKC", password)
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise PasswordRefused(
            "the passphrase has a control character: take letters, digits, signs and "
            "spaces"
        )
    return text
