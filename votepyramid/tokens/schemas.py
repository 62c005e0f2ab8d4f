"""The bodies of a claim and of its opposite."""

from __future__ import annotations

from votepyramid.protocol.encoding import check_id
from votepyramid.web.schemas import StrictSchema, text

MAX_BODY = 4 * 1024


class ClaimSchema(StrictSchema):
    """{} or {style}: without one, the style of the voter's precinct."""

    style = text(check_id, missing=None)


class NoneIssuedSchema(StrictSchema):
    """{}: who asks is all there is to know."""
