"""How a vote's state looks over HTTP, the same after a cast and when asked later."""

from __future__ import annotations

from typing import Any

from pyramid.response import Response

from votepyramid.protocol.encoding import jcs

# A 202 asks again soon at first; the client backs off by itself.
ASK_AGAIN_S = "2"
# How long caches keep a checkpoint, and what can never change.
CHECKPOINT_S = 2
TILE_S = 365 * 24 * 3600
PLAIN = "text/plain; charset=utf-8"


class _Here(Response):
    """A response whose Location stays a path.

    WebOb makes it absolute from the Host header, which the caller writes and which
    behind a proxy that ends TLS has another scheme.
    """

    @staticmethod
    def _make_location_absolute(_environ: Any, value: str) -> str:
        return value


def recorded(receipt: str) -> Response:
    """The stored answer, byte for byte."""
    return _json(receipt.encode(), 200)


def rejected(receipt_hash: str, code: str) -> Response:
    """A refused ballot: final for these bytes unless they are sent again."""
    body = {"code": code, "receipt_hash": receipt_hash, "status": "rejected"}
    return _json(jcs(body), 200)


def pending(request: Any, receipt_hash: str) -> Response:
    """202: held durably, not recorded yet."""
    address = request.route_path(
        "receipts.show",
        election=request.matchdict["election"],
        receipt_hash=receipt_hash,
    )
    body = {"receipt_hash": receipt_hash, "status": "pending", "status_url": address}
    response = _json(jcs(body), 202)
    response.headers["Location"] = address
    response.headers["Retry-After"] = ASK_AGAIN_S
    return response


def published(body: bytes, content_type: str, *, seconds: int) -> Response:
    """A part of a public log, for any cache. What lasts a year never changes."""
    response = _Here(body)
    response.headers["Content-Type"] = content_type
    lasting = ", immutable" if seconds == TILE_S else ""
    response.headers["Cache-Control"] = f"public, max-age={seconds}{lasting}"
    return response


def _json(body: bytes, status: int) -> Response:
    response = _Here(body, status=status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
