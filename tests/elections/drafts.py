"""A small, complete manifest to change in tests."""

from __future__ import annotations

import copy
from typing import Any

from votepyramid.eligibility.policy import default_policy
from votepyramid.protocol.encoding import b64u
from votepyramid.protocol.identifiers import key_id
from votepyramid.protocol.manifest import SIGNERS, signer_name
from votepyramid.protocol.notes import SigningKey
from votepyramid.protocol.suites import X25519

ORIGIN = "votepyramid.example/spring"
TRUSTEES = X25519.generate_private_key()
AUTHORITY = SigningKey.generate("authority.example")
BALLOT_BOX = SigningKey.generate(ORIGIN)

_MANIFEST: dict[str, Any] = {
    "version": 1,
    "id": "spring",
    "title": "Spring election",
    "opens": "2026-04-01T08:00:00Z",
    "closes": "2026-04-01T20:00:00Z",
    "grace_seconds": 300,
    "contests": [
        {
            "id": "mayor",
            "title": "Mayor",
            "ranks": 3,
            "choices": [{"id": "ana", "name": "Ana"}, {"id": "bo", "name": "波"}],
        },
        {
            "id": "bridge",
            "title": "Build the bridge?",
            "ranks": 1,
            "choices": [{"id": "yes", "name": "Yes"}, {"id": "no", "name": "No"}],
        },
    ],
    "styles": [
        {
            "id": "north",
            "contests": ["mayor", "bridge"],
            "precincts": ["N 1", "N 2"],
            "plaintext_length": 512,
        },
        {
            "id": "south",
            "contests": ["mayor"],
            "precincts": ["S 1"],
            "plaintext_length": 256,
        },
    ],
    "suite": X25519.id,
    "public_key": b64u(TRUSTEES.public),
    "key_id": key_id(X25519.id, TRUSTEES.public).hex(),
    "eligibility": {
        "policy": default_policy(),
        "attributes": {"suspended": "Bool", "age": "Long", "party": "String"},
        "late_changes": "recheck",
    },
    "rate": {
        "claims_per_voter_per_minute": 120,
        "casts_per_token_per_minute": 120,
        "rejected_ballots_per_token": 5,
    },
    "receipts": {"origin": ORIGIN, "key": BALLOT_BOX.verifier.text()},
    "signers": {
        name: SigningKey.generate(signer_name(ORIGIN, name)).verifier.text()
        for name in SIGNERS
    },
}


def manifest(**changes: Any) -> dict[str, Any]:
    """A manifest that is right, with members replaced."""
    return {**copy.deepcopy(_MANIFEST), **changes}


def draft(**changes: Any) -> dict[str, Any]:
    """The same before `prepare`: without the engine's keys."""
    made = manifest()
    del made["receipts"], made["signers"]
    return {**made, **changes}
