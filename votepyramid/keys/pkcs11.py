"""Key-encryption keys in an HSM, by PKCS#11: AES-256-GCM inside the token.

A wrapped key is `len(label) ‖ label ‖ nonce(12) ‖ ciphertext ‖ tag(16)`, the context
its additional data. AES-GCM because RFC 3394's key wrap has no additional data to
bind a context with, and SoftHSM's RSA-OAEP knows no hash but SHA-1. The nonce is
drawn here: 2^32 wraps under one key is the bound of NIST SP 800-38D, 8.3.

The binding starts a library without locks of its own, so one thread of the process at
a time is in it. A call may wait for ever, there or for its turn: `Bounded` ends that
for the caller. C_Finalize is never called: the binding holds the interpreter's lock
in it, so that a token that hangs would hang the process.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11 import exceptions as refusals
from pkcs11.mechanisms import GCMParams

from votepyramid.keys import secret_file
from votepyramid.keys.names import KekNames, checked_fresh
from votepyramid.keys.provider import (
    Announce,
    KekGone,
    KekTaken,
    KeyProviderError,
    NotAllowed,
    Unanswered,
    WrongContext,
)

NONCE = 12
TAG = 16
_IN_LIBRARY = threading.Lock()
# What a token says that does not let its user change it.
_BARRED = (
    refusals.SessionReadOnly,
    refusals.TokenWriteProtected,
    refusals.UserNotLoggedIn,
    refusals.FunctionRejected,
    refusals.FunctionNotSupported,
)
_BAD_PIN = (refusals.PinIncorrect, refusals.PinLocked, refusals.PinExpired)


class Pkcs11Keys:
    """A KeyProvider on one token. Opens it at the first call, never before.

    `module` is the vendor's library, `token` the token's label; keys are found by
    label and must not be extractable.
    """

    def __init__(
        self, module: Path, token: str, pin_file: Path, names: KekNames
    ) -> None:
        self._module = module
        self._token = token
        self._pin_file = pin_file
        self._names = names
        self._session: Any = None
        # What methods a key has depends on its attributes, so it has no type.
        self._keks: dict[str, Any] = {}
        self._refused_pin = ""

    def wrap(self, context: bytes, key: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE)
        sealed = self._ask(
            self._names.current, lambda kek: _encrypt(kek, nonce, context, key)
        )
        return self._names.join(nonce + sealed)

    def unwrap(self, context: bytes, wrapped: bytes) -> bytes:
        name, body = self._names.split(wrapped)
        nonce, sealed = body[:NONCE], body[NONCE:]
        return self._ask(name, lambda kek: _open(kek, nonce, context, sealed))

    def make(self, name: str, announce: Announce) -> str:
        """As KekStore, by C_GenerateKey."""
        checked_fresh(name)
        with self._changing(name):
            self._refuse_taken(name)
            announce()
            # A token takes two keys of one label, and none is then found by it.
            self._refuse_taken(name)
            self._generate(name)
        return name

    def destroy(self, name: str) -> str:
        """As KekStore, by C_DestroyObject."""
        with self._changing(name):
            kek = self._find(name)
            try:
                kek.destroy()
            except _BARRED:
                raise
            except refusals.PKCS11Error as error:
                raise Unanswered(
                    f"token {self._token!r} failed at it, and key {name!r} may be "
                    f"destroyed or not: {type(error).__name__}"
                ) from None
        return f"destroyed on token {self._token!r}; backups of the token may have it"

    @contextmanager
    def _changing(self, name: str) -> Iterator[None]:
        """A session that may write; keys are found in one that may only read."""
        with _IN_LIBRARY:
            self._close()
            try:
                self._session = self._open_session(rw=True)
                yield
            except refusals.PKCS11Error as error:
                raise self._explain(error, name) from None
            finally:
                self._close()

    def _generate(self, name: str) -> None:
        """One that does what it is for, or none."""
        made = self._session.generate_key(
            KeyType.AES,
            256,
            id=name.encode(),
            label=name,
            store=True,
            capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
            template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
        )
        try:
            self._check(made, name)
            _try(made)
        except BaseException:
            made.destroy()
            raise

    def _refuse_taken(self, name: str) -> None:
        if self._objects(name):
            raise KekTaken(
                f"token {self._token!r} has a key {name!r} already: name it in "
                "kek_current if it was made for this, or take another name"
            )

    def _ask(self, name: str, use: Callable[[Any], bytes]) -> bytes:
        """`use` on the key, once more on a new session when the old one is stale."""
        with _IN_LIBRARY:
            try:
                return use(self._kek(name))
            except refusals.PKCS11Error:
                self._close()
            try:
                return use(self._kek(name))
            except refusals.PKCS11Error as error:
                self._close()
                raise self._explain(error, name) from None

    def _kek(self, name: str) -> Any:
        if name not in self._keks:
            if self._session is None:
                self._session = self._open_session()
            kek = self._find(name)
            self._check(kek, name)
            self._keks[name] = kek
        return self._keks[name]

    def _check(self, kek: Any, name: str) -> None:
        if kek[Attribute.EXTRACTABLE] or not kek[Attribute.SENSITIVE]:
            raise KeyProviderError(
                f"key {name!r} can be read out of token {self._token!r}: make "
                "one that is sensitive and not extractable"
            )
        if kek[Attribute.VALUE_LEN] != 32:
            raise KeyProviderError(f"key {name!r} is not an AES-256 key")

    def _objects(self, name: str) -> list[Any]:
        wanted = {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.AES,
            Attribute.LABEL: name,
        }
        return list(self._session.get_objects(wanted))

    def _find(self, name: str) -> Any:
        """Not `get_key`: that one leaves its search open when it finds two."""
        found = self._objects(name)
        if not found:
            raise refusals.NoSuchKey
        if len(found) > 1:
            raise refusals.MultipleObjectsReturned
        return found[0]

    def _find_token(self) -> Any:
        """Not the library's: that one fails when any other slot's token does."""
        found = []
        for slot in pkcs11.lib(str(self._module)).get_slots(token_present=True):
            with suppress(refusals.PKCS11Error):
                token = slot.get_token()
                if token.label == self._token:
                    found.append(token)
        if not found:
            raise refusals.NoSuchToken
        if len(found) > 1:
            raise refusals.MultipleTokensReturned
        return found[0]

    def _open_session(self, rw: bool = False) -> Any:
        pin = secret_file.read(self._pin_file).strip()
        # Asking again with a wrong PIN would lock the token.
        if pin and pin == self._refused_pin:
            raise refusals.PinIncorrect
        token = self._find_token()
        try:
            return token.open(rw=rw, user_pin=pin)
        except refusals.UserAlreadyLoggedIn:
            # A login is the whole process's: another session of ours has it.
            return token.open(rw=rw)
        except _BAD_PIN:
            self._refused_pin = pin
            raise

    def _close(self) -> None:
        session, self._session = self._session, None
        self._keks.clear()
        if session is not None:
            with suppress(refusals.PKCS11Error):
                session.close()

    def _explain(self, error: Exception, name: str) -> KeyProviderError:
        """Never the error's own text: whatever a driver says stays out of the log."""
        token = f"token {self._token!r}"
        kind = type(error)
        sentences: dict[type[Exception], str] = {
            refusals.NoSuchToken: f"{self._module} sees no {token}",
            refusals.MultipleTokensReturned: f"{self._module} sees several {token}",
            refusals.NoSuchKey: f"{token} has no AES key {name!r}: destroyed, or "
            "never made",
            refusals.MultipleObjectsReturned: f"{token} has several keys {name!r}",
            refusals.PinIncorrect: f"{token} refuses the PIN in {self._pin_file}; it "
            "is not tried again until the file changes",
            refusals.PinLocked: f"{token} has locked its PIN",
        }
        if kind in _BARRED:
            return NotAllowed(
                f"{token} does not let the user of {self._pin_file} do this to key "
                f"{name!r} ({kind.__name__})"
            )
        refused = f"{token} refused: {kind.__name__}"
        made = KekGone if kind is refusals.NoSuchKey else KeyProviderError
        return made(sentences.get(kind, refused))


def _encrypt(kek: Any, nonce: bytes, context: bytes, key: bytes) -> bytes:
    sealed: bytes = kek.encrypt(
        key,
        mechanism=Mechanism.AES_GCM,
        mechanism_param=GCMParams(nonce, context, TAG * 8),
    )
    if len(sealed) != len(key) + TAG:
        raise KeyProviderError("the token's AES-GCM gives something else than a tag")
    return sealed


def _decrypt(kek: Any, nonce: bytes, context: bytes, sealed: bytes) -> bytes:
    key: bytes = kek.decrypt(
        sealed,
        mechanism=Mechanism.AES_GCM,
        mechanism_param=GCMParams(nonce, context, TAG * 8),
    )
    return key


def _open(kek: Any, nonce: bytes, context: bytes, sealed: bytes) -> bytes:
    """A wrong tag is CKR_GENERAL_ERROR in SoftHSM and other things elsewhere.

    So the token is asked to open something right: when it can, the fault was in the
    bytes or their context; when not, in the token.
    """
    try:
        return _decrypt(kek, nonce, context, sealed)
    except refusals.PKCS11Error:
        _try(kek)
    raise WrongContext("wrapped for another context, or altered")


def _try(kek: Any) -> None:
    """Raises unless the key opens what it has sealed."""
    probe = secrets.token_bytes(NONCE)
    if _decrypt(kek, probe, b"probe", _encrypt(kek, probe, b"probe", b"p")) != b"p":
        raise KeyProviderError("the token opens something else than it sealed")
