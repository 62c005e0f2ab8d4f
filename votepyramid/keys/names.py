"""Which key-encryption keys of a KMS a process uses: one wraps, all of them unwrap.

A wrapped key starts with the name of the key that wrapped it, `len(name) ‖ name`, as
in a key file. The name is not a secret and needs no signature: under another key of
the list the bytes do not open, and a name that is not in the list is refused. So
nobody who writes to the database can make a process ask a key of his own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from votepyramid.keys.provider import KekGone, KeyProviderError
from votepyramid.settings import Settings, SettingsError

# Of a key that we make: a label, a transit key's name and an alias in all providers.
_FRESH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def checked_fresh(name: str) -> str:
    """The name of a key that is to be made. Raises KeyProviderError."""
    if not _FRESH.fullmatch(name):
        raise KeyProviderError(
            f"{name!r} is no name for a key: take 1 to 64 letters, digits, - and _, "
            "the first of them a letter or a digit, such as kek-2027"
        )
    return name


@dataclass(frozen=True)
class KekNames:
    """Names as the KMS knows them: labels, ARNs, names of transit keys."""

    current: str
    older: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> KekNames:
        """Raises SettingsError."""
        names = cls(settings.require("kek_current"), settings.kek_older)
        if any(not 1 <= len(name.encode()) <= 255 for name in names.all):
            raise SettingsError("a name in kek_current or kek_older is over 255 bytes")
        return names

    @property
    def all(self) -> frozenset[str]:
        return self.older | {self.current}

    def after(self, made: str) -> KekNames:
        """As they have to be once a key that was made is the current one."""
        return KekNames(made, self.all - {made})

    def join(self, sealed: bytes) -> bytes:
        """The wrapped key of what the current key sealed."""
        name = self.current.encode()
        return bytes([len(name)]) + name + sealed

    def split(self, wrapped: bytes) -> tuple[str, bytes]:
        """The name of the key to ask, and what it sealed. Raises KekGone."""
        size = wrapped[0] if wrapped else 0
        name = wrapped[1 : 1 + size].decode("utf-8", "replace")
        if name not in self.all:
            raise KekGone(
                f"wrapped by key-encryption key {name!r}, which neither kek_current "
                "nor kek_older names"
            )
        return name, wrapped[1 + size :]
