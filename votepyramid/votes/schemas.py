"""The body of a cast."""

from __future__ import annotations

from votepyramid.protocol.encoding import (
    canonical_hex32,
    canonical_uuid,
    check_id,
    unb64u,
)
from votepyramid.web.schemas import StrictSchema, text

# Of the whole request; sealed ballots of real styles take a few KiB.
MAX_BODY = 128 * 1024


class CastSchema(StrictSchema):
    """{token, payload, style, suite, key_id, manifest_hash}, all strings."""

    token = text(canonical_uuid)
    payload = text(unb64u)
    style = text(check_id)
    suite = text(check_id)
    key_id = text(canonical_hex32)
    manifest_hash = text(canonical_hex32)
