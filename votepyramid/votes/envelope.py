"""The KMS envelope around a sealed ballot.

KEK in the KMS → data key → row key = HKDF-SHA256(data key, salt = row id,
info = "evote/row/v1") → AES-256-GCM with a random nonce. The additional data bind
the row to its place: lp("evote/row/v1") ‖ lp(e) ‖ lp(data key id) ‖ row id ‖ leaf
hash. Rotation rewraps data keys and never touches a row.
"""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from votepyramid.keys.service import DataKey, ElectionKeys
from votepyramid.protocol.encoding import b64u, lp, unb64u

LABEL = b"evote/row/v1"


class EnvelopeBroken(ValueError):
    """The envelope does not open: altered, moved, or of another data key."""


def seal_row(
    data_key: DataKey, election: str, row_id: uuid.UUID, leaf_hash: bytes, ballot: bytes
) -> dict[str, str]:
    """The envelope as it stands in `ballot_snapshot`."""
    nonce = secrets.token_bytes(12)
    associated = _associated(election, data_key.id, row_id, leaf_hash)
    sealed = AESGCM(_row_key(data_key.key, row_id)).encrypt(nonce, ballot, associated)
    return {
        "data_key": str(data_key.id),
        "nonce": b64u(nonce),
        "ciphertext": b64u(sealed),
    }


def open_row(
    keys: ElectionKeys,
    election: str,
    row_id: uuid.UUID,
    receipt_hash: str,
    snapshot: dict[str, Any],
) -> bytes:
    """The voter's sealed ballot out of a stored row. Raises EnvelopeBroken."""
    envelope = snapshot["envelope"]
    key_id = uuid.UUID(envelope["data_key"])
    key = keys.read_data_key(election, key_id)
    associated = _associated(election, key_id, row_id, bytes.fromhex(receipt_hash))
    try:
        return AESGCM(_row_key(key, row_id)).decrypt(
            unb64u(envelope["nonce"]), unb64u(envelope["ciphertext"]), associated
        )
    except InvalidTag:
        raise EnvelopeBroken(f"row {row_id} does not open") from None


def _row_key(data_key: bytes, row_id: uuid.UUID) -> bytes:
    return HKDF(SHA256(), 32, salt=row_id.bytes, info=LABEL).derive(data_key)


def _associated(
    election: str, data_key: uuid.UUID, row_id: uuid.UUID, leaf_hash: bytes
) -> bytes:
    place = lp(LABEL) + lp(election.encode()) + lp(data_key.bytes)
    return place + row_id.bytes + leaf_hash
