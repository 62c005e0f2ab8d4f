"""GET receipt/{receipt_hash}/: what became of a vote. Its proof; the log's tiles; what
is stated at the end."""

from __future__ import annotations

from typing import Any

from pyramid.response import Response
from pyramid.view import view_config

from votepyramid.errors import Code, Refused
from votepyramid.logs.store import AUDIT
from votepyramid.protocol.encoding import NotCanonical, canonical_hex32
from votepyramid.protocol.tlogproof import CONTENT_TYPE as NOTE
from votepyramid.receipts import log, service, statements
from votepyramid.receipts.presenting import (
    CHECKPOINT_S,
    PLAIN,
    TILE_S,
    pending,
    published,
    recorded,
    rejected,
)
from votepyramid.web.policy import ANYONE


@view_config(route_name="receipts.show", request_method="GET", permission=ANYONE)
def show(request: Any) -> Response:
    """200 recorded or rejected, 202 pending, 404 unknown."""
    receipt_hash = _receipt_hash(request)
    election = request.matchdict["election"]
    found = service.find(request.services.engine, election, receipt_hash)
    if found.receipt is not None:
        return recorded(found.receipt)
    if found.code is not None:
        return rejected(receipt_hash, found.code)
    return pending(request, receipt_hash)


@view_config(route_name="receipts.proof", request_method="GET", permission=ANYONE)
def proof(request: Any) -> Response:
    """200 the receipt's `.tlog-proof`, 404 while it is not in a checkpoint."""
    receipt_hash = _receipt_hash(request)
    made = log.proof(
        request.services.engine, request.matchdict["election"], receipt_hash
    )
    return published(made, NOTE, seconds=CHECKPOINT_S)


@view_config(route_name="log.checkpoint", request_method="GET", permission=ANYONE)
def checkpoint(request: Any) -> Response:
    """The newest signed checkpoint (C2SP tlog-checkpoint)."""
    note = log.checkpoint(request.services.engine, request.matchdict["election"])
    return published(note.encode(), NOTE, seconds=CHECKPOINT_S)


@view_config(route_name="log.audit_checkpoint", request_method="GET", permission=ANYONE)
def audit_checkpoint(request: Any) -> Response:
    """The newest signed checkpoint of the audit log, which itself is not public."""
    election = request.matchdict["election"]
    note = log.checkpoint(request.services.engine, election, AUDIT)
    return published(note.encode(), NOTE, seconds=CHECKPOINT_S)


@view_config(route_name="log.tile", request_method="GET", permission=ANYONE)
def tile(request: Any) -> Response:
    """A hash tile or entry bundle (C2SP tlog-tiles): the same bytes for ever."""
    content = log.tile(
        request.services.engine,
        request.matchdict["election"],
        request.matchdict["path"],
    )
    return published(content, "application/octet-stream", seconds=TILE_S)


@view_config(route_name="log.consistency", request_method="GET", permission=ANYONE)
def consistency(request: Any) -> Response:
    """That a larger log begins with a smaller one: the same hashes for ever."""
    election, old, new = map(request.matchdict.__getitem__, ("election", "old", "new"))
    made = log.consistency(request.services.engine, election, old, new)
    return published(made.encode(), PLAIN, seconds=TILE_S)


@view_config(route_name="statement.closing", request_method="GET", permission=ANYONE)
def closing(request: Any) -> Response:
    """The signed closing statement: final, once there is one."""
    note = statements.closing(request.services.engine, request.matchdict["election"])
    return published(note.encode(), NOTE, seconds=TILE_S)


@view_config(route_name="absence", request_method="GET", permission=ANYONE)
def absence(request: Any) -> Response:
    """That no vote stands under a tag: its two neighbours in the tree of all tags."""
    tag = bytes.fromhex(_hex32(request, "tag"))
    election = request.matchdict["election"]
    proof = statements.absence(request.services.engine, election, tag)
    return published(proof, "application/json", seconds=TILE_S)


def _receipt_hash(request: Any) -> str:
    return _hex32(request, "receipt_hash")


def _hex32(request: Any, name: str) -> str:
    text: str = request.matchdict[name]
    try:
        canonical_hex32(text)
    except NotCanonical as error:
        errors = [{"field": name, "problem": error.problem}]
        raise Refused(Code.MALFORMED, extras={"errors": errors}) from None
    return text
