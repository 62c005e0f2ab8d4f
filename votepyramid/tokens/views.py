"""POST tokens/claim/: an authenticated voter claims the one-time token. After the end,
tokens/none-issued/: has it in writing that there was none."""

from __future__ import annotations

from typing import Any

from pyramid.view import view_config

from votepyramid.tokens.schemas import MAX_BODY, ClaimSchema, NoneIssuedSchema
from votepyramid.web.schemas import read_body


@view_config(
    route_name="tokens.claim",
    request_method="POST",
    permission="claim",
    unsafe=True,
    renderer="json",
    http_cache=0,
)
def claim(request: Any) -> dict[str, str]:
    """The same token at every claim, or 403 with the rule that failed."""
    body = read_body(request, ClaimSchema(), MAX_BODY)
    voter, election = request.identity, request.matchdict["election"]
    request.services.limits.claim(election, voter)
    token = request.services.claiming.claim(election, voter, body["style"])
    return {
        "token": str(token.bearer),
        "style": token.style,
        "manifest_hash": token.manifest_hash.hex(),
    }


@view_config(
    route_name="tokens.none_issued",
    request_method="POST",
    permission="claim",
    unsafe=True,
    renderer="json",
    http_cache=0,
)
def none_issued(request: Any) -> dict[str, str]:
    """The same statement at every asking, or why there is none."""
    read_body(request, NoneIssuedSchema(), MAX_BODY)
    voter, election = request.identity, request.matchdict["election"]
    request.services.limits.claim(election, voter)
    stated = request.services.claiming.none_issued(election, voter)
    return {"statement": stated.note, "nonce": stated.nonce.hex()}
