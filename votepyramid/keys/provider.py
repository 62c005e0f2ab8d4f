"""The one interface to whatever keeps the key-encryption keys.

A provider wraps and unwraps small secrets under a context that it binds: a key
wrapped for one election and purpose cannot be unwrapped as another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

# Called when nothing stands against a key any more, just before it is made.
Announce = Callable[[], None]


class KeyProviderError(Exception):
    """The KMS is away or refuses; trying again later may help."""


class Unanswered(KeyProviderError):
    """No answer, or none in time: what was asked for may have been done."""


class WrongContext(KeyProviderError):
    """The wrapped key does not belong to this context, or was altered."""


class KekGone(KeyProviderError):
    """The key-encryption key that is needed was destroyed, or no setting names it."""


class KekTaken(KeyProviderError):
    """There is a key-encryption key of that name already."""


class NotAllowed(KeyProviderError):
    """The place does not let these credentials do it: waiting does not help."""


class KeyProvider(Protocol):
    """Wraps keys of up to 64 bytes; the same for file, HSM and cloud KMS."""

    def wrap(self, context: bytes, key: bytes) -> bytes:
        """Wrapped key. Raises KeyProviderError."""
        ...

    def unwrap(self, context: bytes, wrapped: bytes) -> bytes:
        """The key. Raises WrongContext, KekGone or KeyProviderError."""
        ...


class KekStore(KeyProvider, Protocol):
    """A KeyProvider that can also make and destroy key-encryption keys."""

    def make(self, name: str, announce: Announce) -> str:
        """Make one of that name, which cannot be read out; how settings name it.

        In a key file it is then the current one. What `announce` raises is raised, and
        nothing is made. Raises KekTaken, NotAllowed, KeyProviderError for what is no
        name, or when the place refuses or is away. After `announce`, Unanswered says
        that it may be made; asked again, the place finds it by its name.
        """
        ...

    def destroy(self, name: str) -> str:
        """Destroy it, and say what became of it. What it wrapped is lost.

        Raises KekGone for one that is not there, KeyProviderError when the place
        refuses or is away.
        """
        ...
