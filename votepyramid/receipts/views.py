"""GET receipt/{receipt_hash}/: what became of a vote."""

from __future__ import annotations

from typing import Any

from pyramid.response import Response
from pyramid.view import view_config

from votepyramid.errors import Code, Refused
from votepyramid.protocol.encoding import NotCanonical, canonical_hex32
from votepyramid.receipts import service
from votepyramid.receipts.presenting import pending, recorded, rejected
from votepyramid.web.policy import ANYONE


@view_config(route_name="receipts.show", request_method="GET", permission=ANYONE)
def show(request: Any) -> Response:
    """200 recorded or rejected, 202 pending, 404 unknown."""
    receipt_hash = request.matchdict["receipt_hash"]
    try:
        canonical_hex32(receipt_hash)
    except NotCanonical as error:
        errors = [{"field": "receipt_hash", "problem": error.problem}]
        raise Refused(Code.MALFORMED, extras={"errors": errors}) from None
    election = request.matchdict["election"]
    found = service.find(request.services.engine, election, receipt_hash)
    if found.receipt is not None:
        return recorded(found.receipt)
    if found.code is not None:
        return rejected(receipt_hash, found.code)
    return pending(request, receipt_hash)
