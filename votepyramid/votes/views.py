"""POST vote/: the token is the credential, there is no voter here."""

from __future__ import annotations

from typing import Any

from pyramid.response import Response
from pyramid.view import view_config

from votepyramid.errors import Code, Refused
from votepyramid.receipts.presenting import pending, recorded
from votepyramid.votes.ballots import Submission
from votepyramid.votes.casting import Pending
from votepyramid.votes.schemas import MAX_BODY, CastSchema
from votepyramid.web.policy import ANYONE
from votepyramid.web.schemas import read_body


@view_config(
    route_name="votes.cast", request_method="POST", permission=ANYONE, unsafe=True
)
def cast(request: Any) -> Response:
    """200 with the receipt, 202 with where to ask, or a problem."""
    body = read_body(request, CastSchema(), MAX_BODY)
    submission = Submission(
        bearer=body["token"],
        payload=body["payload"],
        style=body["style"],
        suite=body["suite"],
        key_id=body["key_id"],
        manifest_hash=body["manifest_hash"],
    )
    request.services.limits.cast(request.matchdict["election"], submission)
    answer = request.services.casting.cast(request.matchdict["election"], submission)
    if isinstance(answer, Pending):
        return pending(request, answer.receipt_hash)
    if answer.receipt is None:
        extras = {"reason": answer.reason} if answer.reason else {}
        raise Refused(Code(answer.code), extras=extras)
    return recorded(answer.receipt)
