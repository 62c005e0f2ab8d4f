"""The one interface to whatever keeps the key-encryption keys.

A provider wraps and unwraps small secrets under a context that it binds: a key
wrapped for one election and purpose cannot be unwrapped as another.
"""

from __future__ import annotations

from typing import Protocol


class KeyProviderError(Exception):
    """The KMS is away or refuses; trying again later may help."""


class WrongContext(KeyProviderError):
    """The wrapped key does not belong to this context, or was altered."""


class KeyProvider(Protocol):
    """Wraps keys of up to 64 bytes; the same for file, HSM and cloud KMS."""

    def wrap(self, context: bytes, key: bytes) -> bytes:
        """Wrapped key. Raises KeyProviderError."""
        ...

    def unwrap(self, context: bytes, wrapped: bytes) -> bytes:
        """The key. Raises WrongContext or KeyProviderError."""
        ...
