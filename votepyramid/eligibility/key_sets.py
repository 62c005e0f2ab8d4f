"""The identity provider's public keys: a JWK set (RFC 7517) from a file or https.

Only Ed25519 and RSA signature keys of 2048 bits and more are taken. A set that
holds a symmetric or a private key is refused whole: whoever publishes that has a
worse problem than one key.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import Key, OKPKey, RSAKey

from votepyramid.protocol.encoding import ProtocolError, strict_json, unb64u

MAX_SET_BYTES = 64 * 1024
MAX_KID_LENGTH = 256
FETCH_TIMEOUT = 3.0
# A key taken out of the set is trusted no longer than this.
MAX_AGE = 300.0
# An unknown key id makes us look again, but not at any stranger's pace.
MIN_PAUSE = 30.0
FIRST_PAUSE = 1.0
# How long the known keys serve while the set cannot be had.
MAX_STALE = 3600.0

log = structlog.get_logger(__name__)


class KeySetError(Exception):
    """The key set cannot be had or cannot be used; the message says which."""


def parse(data: bytes) -> dict[str, Key]:
    """The usable keys of a JWK set by key id. Raises KeySetError."""
    try:
        document = strict_json(data, MAX_SET_BYTES)
    except ProtocolError as error:
        raise KeySetError(f"the key set is not usable: {error.problem}") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise KeySetError('the key set has no list "keys"')
    keys: dict[str, Key] = {}
    for entry in entries:
        kid, key = _parse_key(entry)
        if key is None:
            continue
        if kid in keys:
            raise KeySetError("two keys of the set share one key id")
        keys[kid] = key
    if not keys:
        raise KeySetError("the key set has no Ed25519 or RSA signature key")
    return keys


def _parse_key(entry: Any) -> tuple[str, Key | None]:
    """A key and its id; no key for a kind we do not use, as RFC 7517 section 5 asks."""
    if not isinstance(entry, dict):
        raise KeySetError("a member of the key set is not an object")
    if entry.get("kty") == "oct" or "k" in entry:
        raise KeySetError("the key set holds a symmetric key")
    if "d" in entry:
        raise KeySetError("the key set holds a private key")
    kid = entry.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_LENGTH:
        raise KeySetError("a key of the set has no usable key id")
    if entry.get("use", "sig") != "sig":
        return kid, None
    try:
        if _is_for(entry, "OKP", "EdDSA", "Ed25519") and entry.get("crv") == "Ed25519":
            unb64u(entry.get("x"), 32)
            members = {name: entry[name] for name in ("kty", "crv", "x")}
            return kid, OKPKey.import_key(members)
        if _is_for(entry, "RSA", "RS256"):
            return kid, _rsa_key(entry)
    except (JoseError, ProtocolError, ValueError):
        raise KeySetError("a key of the set is malformed") from None
    return kid, None


def _is_for(entry: Mapping[str, Any], kind: str, *algorithms: str) -> bool:
    """Whether a key is of this kind and not reserved for another algorithm."""
    reserved = entry.get("alg", algorithms[0])
    return entry.get("kty") == kind and reserved in algorithms


def _rsa_key(entry: Mapping[str, Any]) -> Key:
    modulus = int.from_bytes(unb64u(entry.get("n")), "big")
    exponent = int.from_bytes(unb64u(entry.get("e")), "big")
    if not 2048 <= modulus.bit_length() <= 8192:
        raise KeySetError("an RSA key of the set has not 2048 to 8192 bits")
    if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > 64:
        raise KeySetError("an RSA key of the set has an unusable exponent")
    return RSAKey.import_key({name: entry[name] for name in ("kty", "n", "e")})


class KeySource:
    """The current key set, fetched again when it is old or a key id is new.

    One thread fetches; the others go on with the keys they know. Safe to share.
    """

    def __init__(
        self,
        location: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if "://" in location and not location.startswith("https://"):
            raise KeySetError("a key set comes from a file or over https")
        self._location = location
        self._ssl = ssl_context
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching = threading.Lock()

    @property
    def remote(self) -> bool:
        """True when the set comes over the network."""
        return self._location.startswith("https://")

    def key(self, kid: str) -> Key | None:
        """The key of that id, or None. Raises KeySetError when there is no set."""
        old = self._clock() - self._fetched_at >= MAX_AGE
        if old or kid not in self._keys:
            self._refresh_if_due()
        if self._clock() - self._fetched_at >= MAX_STALE:
            raise KeySetError("the key set could not be had")
        return self._keys.get(kid)

    def refresh(self) -> None:
        """Fetch the set now. Raises KeySetError and keeps the keys it had."""
        try:
            self._keys = parse(self._fetch())
            self._fetched_at = self._clock()
        finally:
            self._tried_at = self._clock()

    def _refresh_if_due(self) -> None:
        # Wait for another thread's fetch only while there is nothing to go on with.
        if not self._fetching.acquire(blocking=not self._keys):
            return
        try:
            pause = MIN_PAUSE if self._keys else FIRST_PAUSE
            if self._clock() - self._tried_at >= pause:
                self.refresh()
        except KeySetError as error:
            log.warning("key_set_refresh_failed", problem=str(error))
        finally:
            self._fetching.release()

    def _fetch(self) -> bytes:
        if not self.remote:
            return _read_file(self._location)
        try:
            with (
                httpx2.Client(
                    verify=self._ssl or True, timeout=FETCH_TIMEOUT
                ) as client,
                client.stream("GET", self._location) as answer,
            ):
                if answer.status_code != 200:
                    raise KeySetError(
                        f"the key set's address said {answer.status_code}"
                    )
                return _bounded(answer)
        except httpx2.HTTPError as error:
            # The class alone: messages may hold addresses and credentials.
            raise KeySetError(f"fetching: {type(error).__name__}") from None


def _read_file(location: str) -> bytes:
    try:
        with Path(location).open("rb") as file:
            return file.read(MAX_SET_BYTES + 1)
    except OSError as error:
        raise KeySetError(f"cannot read {location}: {error.strerror}") from None


def _bounded(answer: httpx2.Response) -> bytes:
    data = b""
    for chunk in answer.iter_bytes():
        data += chunk
        if len(data) > MAX_SET_BYTES:
            raise KeySetError(f"the key set is longer than {MAX_SET_BYTES} bytes")
    return data
